"""Runs the tools around the four scripts.

    python -m suite run         the four benchmarks in turn, into a folder of records
    python -m suite compare     records beside each other and beside published figures
    python -m suite history     images / s of GPUs by year, published and measured
    python -m suite peers       our networks beside those of slim, Keras and PyTorch
    python -m suite docs        the generated parts of the README and of docs/
    python -m suite doctor      the GPU, driver and libraries of this machine

`python -m suite VERB --help` says what each takes.
"""
import importlib
import os
import signal
import sys
import traceback

from common import files
from common.stop import on_signals

VERBS = {'run': 'suite.run.command', 'compare': 'suite.compare', 'history': 'suite.history',
         'peers': 'suite.peers.command', 'docs': 'suite.docs', 'doctor': 'common.machine.doctor'}


def main() -> int:
    """Hands the rest of the command line to the verb; returns its exit code."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ''
    if verb in ('', '-h', '--help', 'help'):
        print(__doc__)
        return 0 if verb else 2
    if verb not in VERBS:
        print('There is no %r: the verbs are %s. See python -m suite --help.'
              % (verb, ', '.join(VERBS)), file=sys.stderr)
        return 2
    try:
        return _start(verb)
    except KeyboardInterrupt:
        print('Interrupted.', file=sys.stderr)
        return 130
    except OSError:
        raise                                            # files.guarded says what it was
    except Exception:                                    # Python's own 1 is the gate's FAIL
        traceback.print_exc()
        return 3


def _start(verb):
    if verb in ('run', 'peers') and sys.platform == 'win32':
        print('python -m suite %s needs Linux, or WSL 2: on Windows run the scripts one by one '
              'with --json, and compare their records.' % verb, file=sys.stderr)
        return 3
    try:
        if verb in ('doctor', 'peers'):                  # what is wrong with TensorFlow comes first
            importlib.import_module('common.tf1')
        module = importlib.import_module(VERBS[verb])
    except ImportError as error:
        print('python -m suite %s cannot start (%s). To install what it needs: %s -m pip install '
              '-r requirements/suite.txt' % (verb, error, os.path.basename(sys.executable)),
              file=sys.stderr)
        return 3
    sys.argv[:2] = ['python -m suite ' + verb]
    # Also where a shell's background command ignores them: its children would inherit that.
    on_signals(always=[signal.SIGINT, signal.SIGTERM])
    return module.main()


if __name__ == '__main__':
    sys.exit(files.guarded(main))
