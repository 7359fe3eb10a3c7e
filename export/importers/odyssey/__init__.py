"""The baselines of the Odyssey 2024 emotion recognition challenge."""
