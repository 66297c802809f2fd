"""What the four benchmarks share: the TensorFlow API, the flags, the measuring and the record."""
from common import startup  # noqa: F401, its clock starts before TensorFlow is imported
