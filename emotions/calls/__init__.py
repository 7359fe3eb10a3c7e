"""Calls: who speaks when, on which channel, and what the whole conversation was like."""
