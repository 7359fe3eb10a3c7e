"""Checks of a dataset: what is found in it, and leakage between its parts."""
