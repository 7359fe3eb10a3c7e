"""Access log, metrics, traces and the context of a request."""
