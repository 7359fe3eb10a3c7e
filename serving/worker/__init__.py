"""The worker process: engine, start-up, shutdown, model store."""
