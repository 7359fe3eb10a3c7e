"""Batch inference over folders: ``emotions predict``."""
