"""Scores of embeddings: ranking, verification, re-ranking, tracklets; NumPy and SciPy only."""
