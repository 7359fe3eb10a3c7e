"""Precomputed features of frozen frontends."""
