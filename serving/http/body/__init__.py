"""Bodies of requests: bounded streams, uploads, recordings in text, tensors."""
