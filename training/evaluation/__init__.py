"""Evaluation: figures of merit and their pictures."""
