"""One contender of `suite peers` in one process: builds the network, and times it on request.

    python -m suite.peers.worker '{"contender": "slim", "network": "vgg16", ...}'    see Task

Writes lines of JSON to stdout: {"started": null} once the libraries are imported, {"ready": null}
once the network has its initial values, {"answer": ...} for each request, and {"error": "..."} with
one line that says why before it ends because it failed. Reads the requests from stdin, one a line:

    ["time", "Forward", 5, 1]    times 5 steps of a pass after 1 untimed one; the answer is their
                                 seconds
    ["check"]                    verifies the passes; the answer has the `version` of the library,
                                 and `flops` of a step and `faults` by the name of the pass

TensorFlow and PyTorch each bring a CUDA, a cuDNN and an LLVM, and one process cannot hold both, so
this module imports only the one that the contender needs.
"""
import contextlib
import importlib
import json
import os
import sys
from typing import Any, List

from common import text
from common.timing import time_tensorflow_run
from suite.peers import contenders

STARTED, READY = 'started', 'ready'
ON_TENSORFLOW = contenders.OURS, contenders.CONTROL, contenders.SLIM, contenders.KERAS


def answer(network: Any, request: List[Any]) -> Any:
    """Returns the answer to a request. `network` is the contender, as one of the libraries'
    `Network`."""
    if request == ['check']:
        return network.check()
    _, info_string, steps, burn_in = request
    target, feed_dict = network.targets[info_string]
    return time_tensorflow_run(network.session, target, info_string, feed_dict, steps,
                               burn_in).seconds


def main() -> int:
    """Does what stdin asks for; returns the exit code."""
    task = contenders.Task(**json.loads(sys.argv[1]))
    # What anything else prints, C++ code included, goes to stderr.
    with os.fdopen(os.dup(1), 'w') as answers:
        os.dup2(2, 1)

        def say(key, value=None):
            print(json.dumps({key: value}), file=answers, flush=True)

        try:
            library = importlib.import_module('suite.peers.' + (
                'tensorflow_peer' if task.contender in ON_TENSORFLOW else 'torch_peer'))
            say(STARTED)
            with contextlib.redirect_stdout(None):       # the chapter's lines
                network = library.Network(task)
                say(READY)
                for line in sys.stdin:
                    say('answer', answer(network, json.loads(line)))
        except Exception as error:
            say('error', '%s: %s' % (type(error).__name__, text.reason(
                getattr(error, 'message', None) or str(error))))
            return 3
    return 0


if __name__ == '__main__':
    sys.exit(main())
