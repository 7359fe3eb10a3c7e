"""Pretrained encoders that are fetched by name: from packages on the user's own index, checked, and converted."""
