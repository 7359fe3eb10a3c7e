"""Inference with a bundle: the HTTP service, folders, and the benchmark harness. Never imports torch."""

import emotions as emotions  # switches off the telemetry of ONNX Runtime, before a module of ours imports it
