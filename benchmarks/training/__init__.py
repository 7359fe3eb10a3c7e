"""Benchmarks of training: ``python -m benchmarks.training``."""
