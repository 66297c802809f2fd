"""What the four benchmarks share: the TensorFlow API, the flags, the timing and the record."""
import os
import sys

if sys.version_info < (3, 7):        # noqa: UP036, in words that Python 2.7 can read too
    sys.stderr.write('These benchmarks need Python 3.7 to 3.13; this is Python %d.%d: start them '
                     'with another one.\n' % sys.version_info[:2])
    raise SystemExit(3)

from common import stop

if sys.argv[0].endswith(('_benchmark.py', os.path.join('suite', '__main__.py'))):    # no notebook
    stop.end_on_signals()

from common import startup  # noqa: F401, its clock starts before TensorFlow is imported
