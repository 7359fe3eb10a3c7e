"""What a benchmark runs: scenarios, profiles, rate search, MLPerf LoadGen."""
