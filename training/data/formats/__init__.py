"""Layouts of datasets, each read to entries: a recording with its columns."""
