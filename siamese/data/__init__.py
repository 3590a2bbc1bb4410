"""Files to batches: dataset folders, drawn pedestrians, TFRecords, `tf.data` pipelines."""
