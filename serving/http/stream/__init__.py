"""Live audio over a WebSocket: ``/v1/stream``."""
