"""``python -m tipring``."""

from tipring.cli import main

main()
