"""Emotion classifiers of SpeechBrain's recipe."""
