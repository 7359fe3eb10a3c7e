"""Other ways to serve the same model, for the benchmark to compare with: one small adapter each."""
