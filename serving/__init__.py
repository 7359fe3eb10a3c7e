"""Inference with a bundle: the HTTP service, folders, and the benchmark harness. Never imports torch."""
