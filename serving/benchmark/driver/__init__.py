"""What generates load and measures it."""
