"""Adapters of PEFT, merged into the model that they were trained on."""
