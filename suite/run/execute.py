"""Runs the scripts of a plan, each in a process of its own, and resumes what was interrupted."""
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from common import children, conditions, files
from common.stop import Stop
from suite import outcome
from suite import records as reading
from suite.run import plan
from suite.run.plan import PlannedRun
from suite.run.progress import Progress

DOCTOR = [sys.executable, '-m', 'common.machine.doctor', '--json', '--device']
KILLED = 'A lack of memory is the usual cause of such an end: try a smaller --batch_size.'
# The kernel kills a process for lack of memory, or the code that was refused memory crashes.
KILLED_BY = -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT
SWEEP_CPU_STEP_S = 10                # on a CPU a sweep ends with the batch whose step takes longer


class CompletedRun(NamedTuple):
    """A run that has ended: its record ({} if it wrote none) and the exit code of its process (None
    if an earlier call ran it)."""
    run: PlannedRun
    record: Dict[str, Any]
    code: Optional[int] = None

    @property
    def word(self) -> str:
        """The outcome in one or two words."""
        return outcome.of_run(self.record, self.code)

    @property
    def is_finished(self) -> bool:
        """True if it ran to its end, with valid figures or not."""
        return self.record.get('status') == 'finished'

    @property
    def passes(self) -> List[Dict[str, Any]]:
        """The entries that were timed to the end and checked, without the float32 baseline of a run
        with --precision or --xla."""
        options = self.run.options
        wanted = 'precision' in options, 'xla' in options
        return [entry for entry in self.record.get('results', []) if 'faults' in entry
                and (entry['precision'] != 'float32', entry.get('xla', False)) == wanted]

    @property
    def exit_code(self) -> int:
        """0, 1 or 3, as `suite run --help` lists them. A sweep is expected to run out of memory,
        but not at its first batch size."""
        if self.word == 'INVALID':
            return 1
        is_end_of_sweep = (self.run.is_sweep and self.run.options['batch_size'] > 1
                           and self.record.get('status') == 'out_of_memory')
        return 3 if outcome.kind(self.word) == 'bad' and not is_end_of_sweep else 0

    @property
    def sweep_end(self) -> Optional[str]:
        """Why its sweep ends with this run; None if the sweep goes on."""
        if not self.is_finished:
            return self.word
        slowest_s = max([entry['mean_s'] for entry in self.passes], default=0)
        if self.run.options['device'] == 'cpu' and slowest_s > SWEEP_CPU_STEP_S:
            return ('larger ones were not tried, because its step took %.1f s (limit on a CPU: %g '
                    's)' % (slowest_s, SWEEP_CPU_STEP_S))
        return None


def find_device(requested: str) -> Dict[str, Any]:
    """Returns the device that the scripts choose for --device `requested`: 'auto', 'gpu' or 'cpu'.
    A child process finds it, because that needs TensorFlow.

    Returns:
        {'kind': 'gpu' or 'cpu', 'name', 'sentence': which device and why, 'environment': as records
        have it}

    Raises Stop: there is no such device, or TensorFlow cannot use it.
    """
    doctor = subprocess.run(DOCTOR + [requested], cwd=plan.ROOT, stdin=subprocess.DEVNULL,
                            capture_output=True)
    lines = doctor.stderr.decode(errors='replace').strip().splitlines()
    if doctor.returncode == 3 and lines:
        raise Stop(lines[-1])                            # after lines of libraries
    with contextlib.suppress(ValueError, KeyError, TypeError):           # no valid answer
        answer = json.loads(doctor.stdout.decode().strip().rpartition('\n')[2])
        if not doctor.returncode:
            return {key: answer[key] for key in ('kind', 'name', 'sentence', 'environment')}
    raise Stop('The device is unknown: `%s` ended with exit code %d%s' % (
        ' '.join(DOCTOR + [requested]), doctor.returncode, ': ' + lines[-1] if lines else ''))


@contextlib.contextmanager
def locked(folder: str) -> Iterator[int]:
    """Makes and reserves the folder for a call; yields the descriptor that holds the lock. The
    children inherit it: a child that outlives a killed parent keeps the folder locked, because it
    would slow down a new run.

    Raises Stop, with the exit code of bad usage: another call has the lock, or the folder is not
    writable.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        held = files.lock(folder)
    except BlockingIOError:
        raise Stop('argument --output: %s is in use by another `suite run`, or by a benchmark '
                   'that a killed one left running' % folder, 2) from None
    except OSError as error:
        raise Stop('argument --output: %s' % error, 2) from None
    try:
        yield held
    finally:
        os.close(held)


def finished_before(runs: List[PlannedRun], folder: str, device: Dict[str, Any]
                    ) -> Tuple[Dict[str, Dict[str, Any]], List[str]]:
    """Returns the records in the folder whose runs need not be repeated, by the name of the run:
    those that finished, and in a sweep the one that ran out of memory. Also returns a line for each
    damaged file and each condition that has changed.

    Raises Stop, with the exit code of bad usage: the record of another run, or of another version
    of this project, would be overwritten.
    """
    records, problems = {}, []                           # type: Dict[str, Dict[str, Any]], List
    for run in runs:
        record, problem, is_other_version = _read(os.path.join(folder, run.name + '.json'))
        if is_other_version:
            raise Stop('argument --output: ' + problem, 2)
        problems += [problem] if problem else []
        status = record.get('status')
        if status == 'finished' or run.is_sweep and status == 'out_of_memory':
            if (record['environment']['device']['name'] == device['name']
                    and record['environment']['tensorflow'] == device['environment']['tensorflow']
                    and run.options.items() <= record['options'].items()):
                records[run.name] = record
            elif status == 'finished':
                raise Stop('argument --output: %s.json in %s was made with other options, on '
                           'another device or by another TensorFlow: name another folder' % (
                               run.name, folder), 2)
    return records, problems + changed_conditions(records, folder, device)


def _read(path):
    """The record in a file, {} if there is none; a line that says why the file is not valid, '' if
    it is, or if there is no file; and whether another version of this project wrote it."""
    try:
        return reading.load(path), '', False
    except (Stop, ValueError) as error:
        problem = '%s: %s' % (path, error) if os.path.exists(path) else ''
        return {}, problem, isinstance(error, Stop)


def changed_conditions(records: Dict[str, Dict[str, Any]], folder: str, device: Dict[str, Any]
                       ) -> List[str]:
    """Returns a line for each condition that has changed since the records were made, and then one
    that says how to run them again. `records` are by the name of their run."""
    changed: Dict[str, Dict[str, str]] = {}              # by condition and run, what it was
    for name, record in records.items():
        then = conditions.of(record)
        now = conditions.of({'environment': device['environment'], 'options': record['options']})
        for key in conditions.differing(then, now):
            changed.setdefault(key, {})[name] = '%s, now %s' % (
                conditions.text(key, then.get(key)), conditions.text(key, now.get(key)))
    lines = ['%s: %s in %s: %s' % (
        folder, '1 run differs' if len(changed[key]) == 1 else '%d runs differ' % len(changed[key]),
        key, '; '.join(sorted(set(changed[key].values()))))
        for key in sorted(changed, key=conditions.order)]
    if lines:
        lines.append('They are kept. To run them again, name another --output, or delete them and '
                     'repeat this command: rm ' + ' '.join(
                         shlex.quote(os.path.join(folder, name + '.json'))
                         for name in records if any(name in runs for runs in changed.values())))
    return lines


def run_all(runs: List[PlannedRun], done: Dict[str, Dict[str, Any]], folder: str, held: int
            ) -> Iterator[CompletedRun]:
    """Yields every run, after executing those that are not in `done`. `held` is the descriptor of
    the folder's lock.

    Raises KeyboardInterrupt: Ctrl-C; the child has ended.
    """
    progress, ended_series = Progress(), set()
    for i, run in enumerate(runs):
        if run.label(batch=False) in ended_series:
            continue
        head = '[%d of %s%d] %s: ' % (i + 1, 'at most ' * run.is_sweep, len(runs), run.name)
        if run.name in done:
            completed = CompletedRun(run, done[run.name])
            print('%s%s, in an earlier call' % (head, completed.word), flush=True)
        else:
            path = os.path.join(folder, run.name)
            progress.begin(head, [later for later in runs[i:] if later.name not in done],
                           path + '.log')
            completed = _run_one(run, path, held, progress)
        yield completed
        if run.is_sweep and completed.sweep_end:
            ended_series.add(run.label(batch=False))


def _run_one(run, path, held, progress):
    """Runs a script and prints its outcome."""
    try:
        code = run_child(run, path, held, progress.tick)
    except KeyboardInterrupt:
        progress.end('interrupted')
        raise
    record, problem, _ = _read(path + '.json')           # of another version: the checkout changed
    completed = CompletedRun(run, record, code)
    progress.end(completed.word, is_finished=completed.is_finished)
    if completed.exit_code:
        progress.show_end_of_log(problem or KILLED * (code in KILLED_BY))
    return completed


def run_child(run: PlannedRun, path: str, held: int, tick: Callable[[], None]) -> int:
    """Runs a script, calls tick() about once a second, returns the exit code of the process.

    On Ctrl-C the child writes its record and ends after the step; a third Ctrl-C kills both.
    """
    if os.path.exists(path + '.json'):                   # of a run that did not finish
        os.unlink(path + '.json')
    with open(path + '.log', 'w') as log:
        child = children.start(run.command + ['--json', path + '.json'], stdout=log,
                               stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                               pass_fds=[held])
    try:
        while True:
            try:
                return child.wait(timeout=1)
            except subprocess.TimeoutExpired:
                tick()
    except BaseException:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
