"""From the bytes of a recording to a waveform and its windows."""
