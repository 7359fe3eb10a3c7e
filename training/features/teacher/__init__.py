"""A teacher: a bundle whose probabilities a model learns from, and its answers, which are cached."""
