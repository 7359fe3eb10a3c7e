"""ONNX classifiers of anybody: read as data, wrapped so that each clip is answered alone, and proven."""
