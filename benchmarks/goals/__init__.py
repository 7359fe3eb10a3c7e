"""What the toolkit is held to: figures of every part, each beside what is wanted of it."""
