"""The JSON file: read, override, validate, run."""
