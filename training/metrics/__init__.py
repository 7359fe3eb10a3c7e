"""Metrics of classification: UAR, intervals, calibration, plots."""
