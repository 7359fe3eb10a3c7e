"""Assembling a bundle: export, variants, model card, report."""
