"""Evaluation across corpora: train on each, test on each other, and leave one corpus out."""
