"""What the four benchmarks share: the TensorFlow API, the flags, the timing and the record."""
import sys

if sys.platform == 'win32':          # it has no fcntl, no resource and no SIGHUP
    print('These benchmarks run on Linux: on Windows, run them in WSL 2, which can use the GPU.',
          file=sys.stderr)
    raise SystemExit(3)

from common import startup  # noqa: F401, its clock starts before TensorFlow is imported
