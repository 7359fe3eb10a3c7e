"""Corrections by people: with the old data into one table, and what they changed."""
