"""The steps: one module for each family of them."""
