"""The run folder: layout, reading, writing, checkpoints."""
