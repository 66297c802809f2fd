"""One contender of `suite peers` in one process: builds the network, times it, answers, ends.

    python -m suite.peers.worker '{"contender": "slim", "network": "vgg16", ...}'    see Task

Writes STARTED to stdout once the libraries are imported, and then the answer, a JSON object:

    seconds    the timed steps, in seconds, by the name of the pass
    checks     with Task.check: `version` of the library; `flops` of a step and `faults`, by the
               name of the pass
    error      instead of both, if it failed: one line that says why

TensorFlow and PyTorch each bring a CUDA, a cuDNN and an LLVM, and one process cannot hold both, so
this module imports only the one that the contender needs.
"""
import contextlib
import importlib
import json
import os
import sys
from typing import Any, Dict

from common.timing import time_tensorflow_run
from suite.peers import contenders

STARTED = 'started'
ON_TENSORFLOW = contenders.OURS, contenders.CONTROL, contenders.SLIM, contenders.KERAS


def work(task: contenders.Task, library: Any) -> Dict[str, Any]:
    """Returns the answer. `library` is the module that has the contender as `Network(task)`. The
    passes are checked after they are timed, so that the checks cannot change the times."""
    network = library.Network(task)
    seconds = {name: time_tensorflow_run(network.session, target, name, feed_dict, task.steps,
                                         task.burn_in).seconds
               for name, (target, feed_dict) in network.targets.items()}
    return {'seconds': seconds, 'checks': network.check() if task.check else None}


def first_line(text: str) -> str:
    """Returns the first line that is not empty and not TensorFlow 1.15's count of errors."""
    return next((line.strip() for line in text.split('\n')
                 if line.strip() and not line.endswith('root error(s) found.')), 'no reason given')


def main() -> int:
    """Does the task of the command line; returns the exit code."""
    task = contenders.Task(**json.loads(sys.argv[1]))
    # What anything else prints, C++ code included, goes to stderr.
    with os.fdopen(os.dup(1), 'w') as answers:
        os.dup2(2, 1)
        try:
            library = importlib.import_module('suite.peers.' + (
                'tensorflow_peer' if task.contender in ON_TENSORFLOW else 'torch_peer'))
            print(STARTED, file=answers, flush=True)
            with contextlib.redirect_stdout(None):       # the chapter's lines
                answer = work(task, library)
        except Exception as error:
            answer = {'error': '%s: %s' % (type(error).__name__, first_line(str(error)))}
        print(json.dumps(answer), file=answers, flush=True)
    return 3 if 'error' in answer else 0


if __name__ == '__main__':
    sys.exit(main())
