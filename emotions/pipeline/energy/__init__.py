"""Joules and grams of CO2 of work, by CodeCarbon: off unless asked for, and never in the way of the work."""
