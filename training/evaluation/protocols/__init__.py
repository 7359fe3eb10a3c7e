"""Evaluation protocols: folds, nested selection, processes."""
