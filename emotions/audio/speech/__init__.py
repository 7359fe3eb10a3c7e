"""Where in a recording somebody speaks: Silero VAD, its segments, and windows cut inside them."""
