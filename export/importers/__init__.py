"""Checkpoints of others as sources of bundles: a closed registry; none of their code runs."""
