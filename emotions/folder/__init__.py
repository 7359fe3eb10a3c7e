"""From files to predictions, in order."""
