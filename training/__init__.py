"""A pipeline file and recordings to a trained model in a run folder."""
