"""The archive for a machine with torch and without a network."""
