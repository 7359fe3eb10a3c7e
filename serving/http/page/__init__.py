"""The page at ``/``: a microphone, files, a timeline."""
