"""Tuning: what a search draws from, its trials, and what came of them."""
