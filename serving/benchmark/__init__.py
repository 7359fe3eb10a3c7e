"""The benchmark harness: what each layer around the model costs, measured in one run on the same clips."""
