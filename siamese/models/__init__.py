"""Image to embedding: trunks, the embedder built on one of them, and the pair model."""
