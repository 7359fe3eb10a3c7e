"""Bundle to answers: the service, folder inference, and the benchmark harness. Never imports torch."""
