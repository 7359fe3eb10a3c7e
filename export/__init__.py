"""From a trained model to a bundle that is proven to answer as the model does."""

import emotions as emotions  # switches off the telemetry of ONNX Runtime, before a module of ours imports it
