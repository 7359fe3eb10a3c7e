"""``emotions label``: what is worth a person's time, as tasks of Label Studio, and the model behind it."""
