"""Benchmarks of the export: what it costs, and what the bundle gains over the library that the model is from."""
