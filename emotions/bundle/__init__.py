"""The bundle: manifest, probe, variants, summary."""
