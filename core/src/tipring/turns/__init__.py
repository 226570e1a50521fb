"""Who may speak."""
