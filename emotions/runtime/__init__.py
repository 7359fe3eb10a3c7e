"""Inference: ONNX Runtime session, batcher, prediction, devices."""
