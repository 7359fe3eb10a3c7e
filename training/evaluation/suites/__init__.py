"""Test suites: accuracy, robustness, fairness."""
