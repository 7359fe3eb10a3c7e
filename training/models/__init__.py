"""Models: a frontend without trained weights, and a head that trains."""
