"""The report of an evaluation: JSON, HTML, plots."""
