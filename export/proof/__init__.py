"""Is the exported model the trained one? Test signals, comparison, gate."""
