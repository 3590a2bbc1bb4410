"""Images to batches: from records by TensorFlow, from files held in memory by threads."""
