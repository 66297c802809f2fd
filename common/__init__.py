"""What the four benchmarks share: the TensorFlow API, the flags, the timing and the record."""
import sys

if sys.version_info < (3, 7):        # noqa: UP036, in words that Python 2.7 can read too
    sys.stderr.write('These benchmarks need Python 3.7 to 3.13; this is Python %d.%d: start them '
                     'with another one.\n' % sys.version_info[:2])
    raise SystemExit(3)
if sys.platform == 'win32':          # it has no fcntl, no resource and no SIGHUP
    sys.stderr.write('These benchmarks run on Linux: on Windows, run them in WSL 2, which can use '
                     'the GPU.\n')
    raise SystemExit(3)

from common import startup  # noqa: F401, its clock starts before TensorFlow is imported
