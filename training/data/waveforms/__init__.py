"""Decoded clips: their cache, their properties, and the PyTorch dataset of them."""
