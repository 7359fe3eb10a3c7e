"""Data: a folder of recordings to clips, splits, cached waveforms and windows."""
