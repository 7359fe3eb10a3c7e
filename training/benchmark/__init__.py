"""Benchmarks of training: ``python -m training.benchmark``."""
