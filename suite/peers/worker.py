"""One contender of `suite peers` in one process: builds the network, and times it on request.

    python -m suite.peers.worker '{"contender": "slim", "network": "vgg16", "batch_size": 32, ...}'

The argument has the contender, the network, `image_size` in pixels, `aux_weight` (of the loss of
Inception's auxiliary classifier) and the flags of `suite peers`; `device` is the chosen one.

Writes lines of JSON to stdout: {"started": null} once the library is imported, {"ready": null} once
the network has its initial values, {"answer": ...} for each request, and {"error": "..."} with the
reason before it ends because it failed. Reads the requests from stdin, one a line:

    ["time", "Forward", 5, 1]    times 5 steps of a pass after 1 untimed one; the answer is their
                                 seconds
    ["check"]                    verifies the passes; the answer has the `version` of the library, a
                                 `note` on how it ran, and `flops` of a step and `faults` by pass

TensorFlow and PyTorch each bring a CUDA, a cuDNN and an LLVM, and one process cannot hold both, so
this module imports only the one that the contender needs.
"""
import argparse
import contextlib
import importlib
import json
import os
import sys

from common import text
from common.timing import time_tensorflow_run
from suite.peers import contenders

STARTED, READY = 'started', 'ready'
ON_TENSORFLOW = contenders.OURS, contenders.CONTROL, contenders.SLIM, contenders.KERAS


def main() -> int:
    """Does what stdin asks for; returns the exit code."""
    task = argparse.Namespace(**json.loads(sys.argv[1]))
    # What anything else prints, C++ code included, goes to stderr.
    with os.fdopen(os.dup(1), 'w') as answers:
        os.dup2(2, 1)

        def say(key, value=None):
            print(json.dumps({key: value}), file=answers, flush=True)

        try:
            module, name = ('tensorflow_peer', 'TensorflowContender') \
                if task.contender in ON_TENSORFLOW else ('torch_peer', 'TorchContender')
            contender = getattr(importlib.import_module('suite.peers.' + module), name)
            say(STARTED)
            with contextlib.redirect_stdout(None):       # the chapter's lines
                model = contender(task)
                say(READY)
                for kind, *request in map(json.loads, sys.stdin):
                    if kind == 'check':
                        say('answer', model.check())
                        continue
                    info_string, steps, burn_in = request
                    say('answer', time_tensorflow_run(
                        model.session, model.targets[info_string][0], info_string,
                        model.targets[info_string][1], steps, burn_in).seconds)
        except Exception as error:
            say('error', '%s: %s' % (type(error).__name__, text.reason(
                getattr(error, 'message', None) or str(error))))
            return 3
    return 0


if __name__ == '__main__':
    sys.exit(main())
