"""Formats of tools that people annotate with: written, and read back where people write them."""
