"""Image to embedding: backbones, the embedder built on one of them, and the pair model."""
