"""Files: atomic writes and locks, strict JSON, hashes, the private cache folder, and pages of reports."""
