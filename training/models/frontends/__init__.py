"""Frontends: waveforms to features, and the encoders they load."""
