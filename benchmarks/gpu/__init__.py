"""The GPU path, measured and proven in one run: ``make gpu``, ``make gpu-dry``, ``make gpu-pack``."""
