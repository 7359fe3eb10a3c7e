"""Splits: train, validation and test, by speaker or group."""
