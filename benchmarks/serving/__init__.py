"""Benchmarks of serving that back the project's own claims: ``python -m benchmarks.serving``."""
