"""Losses on (labels, embeddings), for any Keras backend."""
