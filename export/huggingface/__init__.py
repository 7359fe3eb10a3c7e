"""Audio classifiers of Hugging Face: loaded, checked, and rewritten so that a clip's answer is its own in any batch."""
