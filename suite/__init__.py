"""Everything around the four scripts. It works on records, and needs TensorFlow in peers/ alone."""
