"""Voices of a corpus: embeddings of its clips, which names sound like one person, and a guess at who speaks."""
