"""The first pipeline file of a dataset: what its names and columns say, what to ask, and the settings that fit it."""
