"""Files: atomic writes and locks, strict JSON, hashes, and the private cache folder."""
