"""Drift: the last recordings of a worker against the reference of its bundle."""
