"""Times the contenders of a network in rounds, each in a new process every time.

Why a new process: all contenders used to take turns in one process. With our own VGG-16 in place of
every peer (batch 2, TensorFlow 1.15, two cores) one session, mostly the one that was built first,
took 4 to 10 % longer than the others in every forward-backward step, for any order of the turns.
This is not noise: the user time of the process rose from 3.5 to 3.7 s a step in each of 8 turns,
with as many page faults. In another process two such sessions were equal to 0.5 %. So each session
has its own speed for as long as it lives, probably because of where its memory lies. More turns in
one process only repeat the same sample: their interval is narrow around a wrong ratio. With a new
process in each round, the interval includes this variation.
"""
import json
import random
import subprocess
import sys
import threading
from typing import Any, Dict, Iterator, List, Sequence

from common import children
from common.machine import device
from suite import outcome, records
from suite.peers import contenders, worker

WORKER = [sys.executable, '-m', worker.__name__]
ROUNDS = 10
START_S = 300                        # to import a library, possibly from a network drive


def order(names: Sequence[str]) -> List[List[str]]:
    """Returns the contenders of each round in the order in which they run: random, the same in
    every call, and each second round the reverse of the one before, so that a steady change of the
    machine affects all contenders alike."""
    generator, result = random.Random(0), []             # type: random.Random, List[List[str]]
    while len(result) < ROUNDS:
        shuffled = generator.sample(list(names), len(names))
        result += [shuffled, shuffled[::-1]]
    return result[:ROUNDS]


def measure(task: contenders.Task, names: Sequence[str]) -> Iterator[Dict[str, Dict[str, Any]]]:
    """Yields the answers of the workers by contender, one dict for each round. `task` has their
    common settings. The first round also checks. Raises device.Unusable: a worker failed."""
    for number, ordered in enumerate(order(names)):
        yield {name: ask(task._replace(contender=name, check=number == 0)) for name in ordered}


def ask(task: contenders.Task) -> Dict[str, Any]:
    """Runs one worker to its end and returns its answer (see worker.py).

    Raises device.Unusable: it failed, ended without an answer, or did not start within START_S.
    """
    late = threading.Event()
    with children.start(WORKER + [json.dumps(task._asdict())], cwd=records.ROOT,
                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
        def give_up():
            late.set()
            child.kill()

        timer = threading.Timer(START_S, give_up)
        timer.start()
        try:
            line = child.stdout.readline()
            timer.cancel()
            if line.strip() == worker.STARTED:
                line = child.stdout.readline()
            code = child.wait()
        finally:                                         # Ctrl-C
            timer.cancel()
            child.kill()
            child.wait()
    answer = json.loads(line) if line.endswith('\n') else {}
    if 'seconds' in answer:
        return answer
    if 'error' in answer:
        why = 'failed with ' + answer['error']
    elif late.is_set():
        why = 'did not start within %g s' % START_S
    else:
        why = 'ended without an answer (%s)' % outcome.of_run({}, code)
    raise device.Unusable('%s: %s %s.' % (task.network, task.contender, why))
