"""Models of the pipeline steps in a JSON config."""
