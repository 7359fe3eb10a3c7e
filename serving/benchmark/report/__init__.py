"""The report of a benchmark: JSON, HTML, comparison."""
