"""Measurements of speed that are no part of the toolkit: run from a checkout, ``python -m benchmarks.training``."""
