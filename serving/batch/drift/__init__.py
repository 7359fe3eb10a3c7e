"""``emotions drift``: tables of answers against the reference of a bundle, as a page, JSON and Parquet."""
