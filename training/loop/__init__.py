"""The loop: data and a model in, a run folder out."""
