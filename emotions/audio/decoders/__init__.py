"""Decoding that can be ended: what no header bounds is decoded in processes with limits on memory and time."""
