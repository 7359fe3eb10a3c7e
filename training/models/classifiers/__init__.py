"""Classifiers: a frontend and a head, one architecture a module."""
