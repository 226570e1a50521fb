"""plugins bench: how long ``tipring plugins`` takes where much is installed."""
