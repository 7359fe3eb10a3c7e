"""A page of a folder run: its table, each recording over time, in one file that lies beside them."""
