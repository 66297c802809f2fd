"""What the four benchmarks share: the TensorFlow API, the flags, the measuring and the record."""
