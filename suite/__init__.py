"""Everything around the four scripts. It works on records, and needs TensorFlow in peers/ alone."""
import common  # noqa: F401, it refuses a Python that is too old
