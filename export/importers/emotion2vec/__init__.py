"""emotion2vec and emotion2vec+ of FunASR."""
