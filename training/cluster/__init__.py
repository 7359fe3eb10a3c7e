"""Ray connection and remote storage."""
