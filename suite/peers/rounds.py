"""Times the contenders of a network in rounds, each in a new process in every round.

Why a new process: all contenders used to take turns in one process. With our own VGG-16 in place of
every peer (batch 2, TensorFlow 1.15, two cores) one session, mostly the one that was built first,
took 4 to 10 % longer than the others in every forward-backward step, for any order of the turns.
This is not noise: the user time of the process rose from 3.5 to 3.7 s a step in each of 8 turns,
with as many page faults. In another process two such sessions were equal to 0.5 %. So each session
has its own speed for as long as it lives, probably because of where its memory lies. More turns in
one process only repeat the same sample: their interval is narrow around a wrong ratio. With a new
process in each round, the interval includes this variation.

Why all at once: two equal processes that run one after the other differ by 3 % (standard deviation,
same machine), because the machine changes meanwhile. Two that live at the same time and take turns
differ by 1 to 2 %, which is the speed of the processes themselves.

Why the fastest step of a round counts (command.py): two equal processes were timed in 16 rounds on
a shared machine (AlexNet, batch 4, 12 steps). Forward and forward-backward, their means differed by
6.5 and 3.6 %, their medians by 3.8 and 4.5 %, their fastest steps by 2.2 and 1.2 %. What slows such
a machine down mostly lasts for a second or less, so that several short turns are better than one.

Why the ratio is no mean (tables.ratio): sometimes the machine is slow for most of a round, and one
contender alone finds a fast moment. In one of 20 rounds of ResNet-152 the control took 84 ms for a
forward step and the other three 116 to 120 ms. That round moved the geometric mean of the ratios by
more than 1 %.
"""
import contextlib
import json
import random
import subprocess
import sys
import threading
from typing import Any, Dict, Iterator, List, Sequence

from common import children
from common.networks import PASSES
from common.stop import Stop
from suite import outcome, records
from suite.peers import contenders, worker

WORKER = [sys.executable, '-m', worker.__name__]
ROUNDS, TURNS = 20, 4                # turns of each contender in a round and pass
START_S = 300                        # to import a library, possibly from a network drive
MEMORY = (' All contenders of a round are in memory at the same time: take a smaller --batch_size '
          'or fewer --peers.')


def order(names: Sequence[str]) -> List[List[str]]:
    """Returns the contenders of each round in the order of their first turns, random but the same
    in every call. Each second round is the reverse of the one before."""
    generator, result = random.Random(0), []             # type: random.Random, List[List[str]]
    while len(result) < ROUNDS:
        shuffled = generator.sample(list(names), len(names))
        result += [shuffled, shuffled[::-1]]
    return result[:ROUNDS]


def measure(task: contenders.Task, names: Sequence[str], steps: int, burn_in: int
            ) -> Iterator[Dict[str, Dict[str, Any]]]:
    """Yields, for each round, the answers by contender: `seconds`, the timed steps by the name of
    the pass, and `checks`, the answer to worker.py's ["check"]; None after the first round.

    Args:
        task: what all contenders have in common.
        names: the contenders.
        steps: timed steps of each turn.
        burn_in: untimed steps before the first turn of each pass; before the others there is one.

    Raises Stop: a worker failed.
    """
    for number, ordered in enumerate(order(names)):
        yield one_round(task, ordered, steps, burn_in, check=number == 0)


def one_round(task: contenders.Task, ordered: Sequence[str], steps: int, burn_in: int, check: bool
              ) -> Dict[str, Dict[str, Any]]:
    """Returns the answers of a round. Each second turn is in the reverse of the order of the one
    before, so that a steady change of the machine affects all contenders alike."""
    seconds = {name: {} for name in ordered}             # type: Dict[str, Dict[str, List[float]]]
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(task._replace(contender=name)))
                   for name in ordered}
        for message in worker.STARTED, worker.READY:
            for process in workers.values():
                process.wait_for(message)
        for info_string in PASSES[:1] if task.options['forward_only'] else PASSES:
            for turn in range(TURNS):
                for name in ordered[::-1] if turn % 2 else ordered:
                    seconds[name].setdefault(info_string, []).extend(workers[name].ask(
                        'time', info_string, steps, min(1, burn_in) if turn else burn_in))
        return {name: {'seconds': seconds[name], 'checks': process.ask('check') if check else None}
                for name, process in workers.items()}


class Worker:
    """A process with one contender (see worker.py); it ends with the `with` block.

    Its methods raise Stop if it failed, ended without an answer, or did not start within
    START_S.
    """

    def __init__(self, task: contenders.Task):
        self._task, self._is_late = task, threading.Event()
        self._child = children.start(
            WORKER + [json.dumps(task._asdict())], cwd=records.ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._timer = threading.Timer(START_S, self._give_up)
        self._timer.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._timer.cancel()
        self._child.kill()
        self._child.communicate()                        # waits, and closes the pipes

    def _give_up(self):
        self._is_late.set()
        self._child.kill()

    def wait_for(self, message: str) -> None:
        """Waits until the worker says `message`."""
        self._read(message)
        self._timer.cancel()

    def ask(self, *request: Any) -> Any:
        """Returns the answer to a request."""
        with contextlib.suppress(BrokenPipeError):       # why it has ended is read below
            self._child.stdin.write(json.dumps(request) + '\n')
            self._child.stdin.flush()
        return self._read('answer')

    def _read(self, key):
        line = self._child.stdout.readline()
        answer = json.loads(line) if line.endswith('\n') else {}
        if key in answer:
            return answer[key]
        if 'error' in answer:
            why = 'failed with ' + answer['error']
        else:
            code = self._child.wait()
            why = ('did not start within %g s' % START_S if self._is_late.is_set() else
                   'ended without an answer (%s)' % outcome.of_run({}, code))
        raise Stop('%s: %s %s.%s' % (
            self._task.network, self._task.contender, why,
            MEMORY * any(word in why for word in ('OOM', 'memory', 'SIGKILL'))))
