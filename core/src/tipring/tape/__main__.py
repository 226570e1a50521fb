"""Draw a saved call again: ``python -m tipring.tape FOLDER``."""

import sys
from pathlib import Path

from tipring.tape.timeline import redraw

if len(sys.argv) != 2:
    sys.exit("usage: python -m tipring.tape FOLDER")
try:
    print(redraw(Path(sys.argv[1])))
except (OSError, ValueError) as error:
    sys.exit(str(error))
