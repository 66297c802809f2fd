"""Times the contenders of a network in rounds, each in a new process in every round.

Why a new process: with our own VGG-16 in place of every peer in one process (batch 2, TensorFlow
1.15, two cores), one session took 4 to 10 % longer than the others in every forward-backward step,
for any order of the turns. In another process two such sessions were equal to 0.5 %. So each
session has its own speed for as long as it lives, and more turns in one process only repeat the
same sample.

Why all at once: two equal processes that run one after the other differ by 3 % (standard deviation,
same machine), because the machine changes meanwhile. Two that live at the same time and take turns
differ by 1 to 2 %.

Why the fastest step of a round counts: two equal processes were timed in 16 rounds on a shared
machine (AlexNet, batch 4, 12 steps). Forward and forward-backward, their means differed by 6.5 and
3.6 %, their medians by 3.8 and 4.5 %, their fastest steps by 2.2 and 1.2 %. What slows such a
machine down mostly lasts for a second or less, so that several short turns are better than one.
"""
import contextlib
import json
import random
import select
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Sequence

from common import children
from common.networks import PASSES
from common.stop import Stop
from suite import outcome, records
from suite.peers import worker

WORKER = [sys.executable, '-m', worker.__name__]
ROUNDS, TURNS = 20, 4                # turns of each contender in a round and pass
# The longest waits, in seconds: to import a library, possibly from a network drive; to build and
# compile a network; for a step.
START_S, BUILD_S, STEP_S = 300, 1800, 60
MEMORY = (' All contenders of a round are in memory at the same time: use a smaller --batch_size '
          'or fewer --peers.')


def order(names: Sequence[str]) -> List[List[str]]:
    """Returns the contenders of each round in the order of their first turns, random but the same
    in every call. Each second round is the reverse of the one before."""
    generator, result = random.Random(0), []             # type: random.Random, List[List[str]]
    while len(result) < ROUNDS:
        shuffled = generator.sample(list(names), len(names))
        result += [shuffled, shuffled[::-1]]
    return result[:ROUNDS]


def measure(task: Dict[str, Any], names: Sequence[str], steps: int, burn_in: int
            ) -> Iterator[Dict[str, Dict[str, Any]]]:
    """Yields, for each round, the answers by contender: `seconds`, the timed steps by the name of
    the pass, and in the first round `checks`, the answer to worker.py's ["check"].

    Args:
        task: what all contenders have in common, as worker.py describes it.
        names: the contenders.
        steps: timed steps of each turn.
        burn_in: untimed steps before the first turn of each pass; before the others there is one.

    Raises Stop: a worker failed, or did not answer in time.
    """
    for number, ordered in enumerate(order(names)):
        yield one_round(task, ordered, steps, burn_in, check=number == 0)


def one_round(task: Dict[str, Any], ordered: Sequence[str], steps: int, burn_in: int, check: bool
              ) -> Dict[str, Dict[str, Any]]:
    """Returns the answers of a round. Each second turn is in the reverse of the order of the one
    before, so that a steady change of the machine affects all contenders alike."""
    answers = {name: {'seconds': {}} for name in ordered}    # type: Dict[str, Dict[str, Any]]
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(dict(task, contender=name)))
                   for name in ordered}
        for message, limit_s in (worker.STARTED, START_S), (worker.READY, BUILD_S):
            for process in workers.values():
                process.read(message, limit_s)
        for info_string in PASSES[:1] if task['forward_only'] else PASSES:
            for turn in range(TURNS):
                untimed = min(1, burn_in) if turn else burn_in
                for name in ordered[::-1] if turn % 2 else ordered:
                    answers[name]['seconds'].setdefault(info_string, []).extend(
                        workers[name].ask(['time', info_string, steps, untimed],
                                          STEP_S * (steps + untimed)))
        for name, process in workers.items() if check else ():
            answers[name]['checks'] = process.ask(['check'], BUILD_S)
    return answers


class Worker:
    """A process with one contender (see worker.py); it ends with the `with` block."""

    def __init__(self, task: Dict[str, Any]):
        self._name = '%s: %s' % (task['network'], task['contender'])
        # Unbuffered: what select() does not see has not been read either.
        self._child = children.start(WORKER + [json.dumps(task)], cwd=records.ROOT, bufsize=0,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.communicate()                        # waits, and closes the pipes

    def ask(self, request: Sequence[Any], limit_s: float) -> Any:
        """Returns the answer to a request. Raises Stop as `read` does."""
        with contextlib.suppress(BrokenPipeError):       # why it has ended is read below
            self._child.stdin.write(json.dumps(request).encode() + b'\n')
        return self.read('answer', limit_s)

    def read(self, key: str, limit_s: float) -> Any:
        """Waits for a line of the worker; returns its value. Raises Stop: it failed, ended, or
        said nothing for `limit_s` seconds."""
        if not select.select([self._child.stdout], [], [], limit_s)[0]:
            raise Stop('%s did not answer within %g s.' % (self._name, limit_s))
        line = self._child.stdout.readline()
        answer = json.loads(line.decode()) if line.endswith(b'\n') else {}
        if key in answer:
            return answer[key]
        why = 'failed with ' + answer['error'] if 'error' in answer else (
            'ended without an answer (%s)' % outcome.of_run({}, self._child.wait()))
        raise Stop('%s %s.%s' % (self._name, why, MEMORY * any(
            word in why for word in ('OOM', 'memory', 'SIGKILL'))))
