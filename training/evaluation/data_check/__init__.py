"""``emotions data check``: reports on a dataset, and on the voices in it."""
