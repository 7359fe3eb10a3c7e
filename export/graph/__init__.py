"""ONNX and TorchScript graphs: export, inspection, fusion, fp16, int8."""
