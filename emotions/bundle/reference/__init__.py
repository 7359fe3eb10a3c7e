"""Reference statistics of a bundle: what its validation clips are like, and whether other clips are."""
