"""The four benchmarks one after another, each in a process of its own, into one folder of results.

The device, chosen as the scripts choose it, decides the protocol unless --protocol does: on a GPU
the chapter's, on a CPU a quick one, whose times say that the scripts work and not how fast they
are. --sweep times batches of 1, 2, 4, ... until one does not fit (on a CPU: or until a step takes
longer than 10 s).

Each run leaves NAME.json, its record, and NAME.log, what it printed. Without --output the folder is
a new one, results-local/DATE_HOST_DEVICE. In a folder that an earlier call has left, what finished
is not run again: an interrupted call goes on when it is given again with --output FOLDER.

    python -m suite run [--only alexnet vgg16] [--variants] [--fetch both] [--sweep] [--repeat 3]

Exit code: 0 all figures are valid, 1 a validity check failed, 2 bad usage, 3 something could not be
run (the end of memory is what a sweep is to find, and no failure), 130 interrupted.
"""
import argparse
import datetime
import fcntl
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from common import children, report, tf1
from common.arguments import integer
from common.horovod import join as distributed
from common.machine import device
from common.probes.precision import PRECISIONS
from common.probes.precision import problem as precision_problem
from suite import records as reading

SCRIPTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHAPTER = os.path.join(SCRIPTS, 'references', 'chapter.json')

# By benchmark, its variants as its records name them, with their flags; the first is the chapter's.
VARIANTS = {
    'alexnet': {'lrn': {'lrn': True, 'fc': False}, 'no_lrn': {'lrn': False, 'fc': False},
                'lrn_fc': {'lrn': True, 'fc': True}},
    'vgg16': {name: {'configuration': name} for name in ('D', 'A', 'A-LRN', 'B', 'C', 'E')},
    'inception_v3': {'aux': {}},
    'resnet_v2': {str(depth): {'depth': depth} for depth in (152, 50, 101, 200)},
}
PASSES = 'Forward', 'Forward-backward'
PROTOCOLS = {'chapter': {'batch_size': 32, 'num_batches': 100, 'num_steps_burn_in': 10},
             'quick': {'batch_size': 2, 'num_batches': 5, 'num_steps_burn_in': 1}}
SWEEP_LIMIT = 2 ** 16                # no batch beyond it is planned
SWEEP_CPU_STEP_S = 10                # on a CPU a sweep ends with the batch whose step takes longer
LAST_LINES = 5                       # of the log of a run that failed: shown on the screen
# A quick run on two CPU cores. Their ratio alone counts: the rest is scaled by what has finished.
ROUGH_S = {'alexnet': 3, 'vgg16': 24, 'inception_v3': 12, 'resnet_v2': 19}

HEADINGS = ('network', 'variant', 'pass', 'fetch', 'precision', 'batch', 'process', 'ms / batch',
            'ms / image', 'images / s', 'peak MB', 'verdict', 'chapter, s / batch')
TEXTS = 'network', 'variant', 'pass', 'fetch', 'precision', 'verdict'        # aligned at the left
USUAL = {'process': '1', 'precision': 'float32'}         # a column of these alone says nothing


class Run(NamedTuple):
    """One process: a script, its variant and flags; `repeat` counts from 1."""
    benchmark: str
    variant: str
    options: Dict[str, Any]
    repeat: int
    sweep: bool

    @property
    def series(self) -> str:
        """What the batches of one sweep have in common."""
        return self._kind + ('-r%d' % self.repeat if self.repeat > 1 else '')

    @property
    def work(self) -> str:
        """What the repetitions of a run have in common."""
        return '%s-b%d' % (self._kind, self.options['batch_size'])

    @property
    def name(self) -> str:
        """Of its files and on the screen: 'vgg16-D-tensors-b32', then 'vgg16-D-tensors-b32-r2'."""
        return self.work + ('-r%d' % self.repeat if self.repeat > 1 else '')

    @property
    def _kind(self) -> str:
        faster = [self.options['precision']] if 'precision' in self.options else []
        return '-'.join([self.benchmark, self.variant, self.options['fetch']] + faster
                        + ['xla'] * ('xla' in self.options))

    @property
    def command(self) -> List[str]:
        """The words that start it, but for --json."""
        script = os.path.join(SCRIPTS, self.benchmark + '_benchmark.py')
        words = [sys.executable, os.path.relpath(script)]
        for name, value in self.options.items():
            words += [('--' if value else '--no_') + name] if isinstance(value, bool) \
                else ['--' + name, str(value)]
        return words


class Outcome(NamedTuple):
    """What became of a run: its record, {} where it left none, and the exit code of its process,
    None where an earlier call ran it."""
    run: Run
    record: Dict[str, Any]
    code: Optional[int] = None


class Refused(Exception):
    """The folder cannot be used; the text says why."""


# What to run

def plan(args: argparse.Namespace) -> List[Run]:
    """Returns the runs in order; args.device is 'gpu' or 'cpu', args.protocol is chosen. A sweep is
    planned up to SWEEP_LIMIT; what comes after its end is left out when that is found."""
    options = dict(PROTOCOLS[args.protocol], device=args.device)
    options.update((name, getattr(args, name)) for name in PROTOCOLS[args.protocol]
                   if getattr(args, name) is not None)
    if args.precision != 'float32':
        options['precision'] = args.precision
    if args.xla:
        options['xla'] = True
    batch_sizes = [2 ** i for i in range(SWEEP_LIMIT.bit_length())] if args.sweep \
        else [options['batch_size']]
    return [Run(benchmark, variant, dict(options, batch_size=batch_size, fetch=fetch, **flags),
                repeat, args.sweep)
            for repeat in range(1, args.repeat + 1)
            for benchmark, variants in VARIANTS.items() if benchmark in (args.only or VARIANTS)
            for variant, flags in list(variants.items())[:None if args.variants else 1]
            for fetch in (['tensors', 'ops'] if args.fetch == 'both' else [args.fetch])
            for batch_size in batch_sizes]


def finished_before(runs: List[Run], folder: str, device_name: str) -> Dict[str, Dict[str, Any]]:
    """Returns the records in the folder that stand for runs, by name: those that finished, and the
    end of memory in a sweep.

    Raises Refused: a record is not of this run, which would overwrite it.
    """
    found = {}
    for run in runs:
        record = read(os.path.join(folder, run.name + '.json'))
        status = record.get('status')
        if status == 'finished' or run.sweep and status == 'out_of_memory':
            made_by = record['environment']['device']['name'], record['environment']['tensorflow']
            if made_by == (device_name, tf1.VERSION) \
                    and run.options.items() <= record['options'].items():
                found[run.name] = record
            elif status == 'finished':
                raise Refused('%s.json in %s was made with other options, on another device or by '
                              'another TensorFlow: name another folder' % (run.name, folder))
    return found


def read(path: str) -> Dict[str, Any]:
    """Returns the record in a file; {} where there is none, and one line if it is damaged.

    Raises Refused: another version wrote it.
    """
    try:
        return reading.load(path)
    except reading.OtherVersion as error:
        raise Refused('%s: %s' % (path, error)) from None
    except ValueError as error:
        if os.path.exists(path):
            print('%s: %s' % (path, error), file=sys.stderr, flush=True)
        return {}


def lock(folder: str) -> int:
    """Takes the folder for this call and returns the descriptor that holds it. Children hold it
    too: one that outlives a killed parent would slow down what is timed beside it.

    Raises Refused: another has it.
    """
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise Refused('%s is in use by another `suite run`, or by a benchmark that a killed one '
                      'left running' % folder) from None
    except OSError:                                      # a file system without such locks
        pass
    return held


# Running

class Progress:
    """The lines on the screen: one for each run and, on a terminal, where the present one is."""

    def __init__(self):
        self.start = time.monotonic()
        self.seconds = []                                # (benchmark, s) of what finished here

    def begin(self, head: str, waiting: List[Run], log: str) -> None:
        """A run starts, the first of those that wait; `log` is the path of what it prints."""
        self.head, self.waiting, self.log = head, waiting, log
        self.run_start = time.monotonic()
        self._show('started', passing=sys.stdout.isatty())

    def tick(self) -> None:
        """Shows where the run is, on a terminal."""
        if sys.stdout.isatty():
            with open(self.log, errors='replace') as log:
                self._show(position(log.read(), self.waiting[0].options['num_batches']), True)

    def end(self, words: str) -> float:
        """The run is over; `words` say how. Returns its seconds."""
        seconds = time.monotonic() - self.run_start
        print('%s%s%s, %.0f s' % (_erase(), self.head, words, seconds), flush=True)
        return seconds

    def _show(self, where, passing):
        now = time.monotonic()
        line = '%s%s; %s elapsed, %s left' % (
            self.head, where, _clock(now - self.start),
            time_left(self.seconds, self.waiting, now - self.run_start))
        if passing:                                      # the next line is written over it
            line = line[:shutil.get_terminal_size().columns - 1]
        print(_erase() + line, end='' if passing else '\n', flush=True)


def position(log: str, num_batches: int) -> str:
    """Says by the chapter's lines in a log which pass runs and how far it is. A run of another
    precision begins when the plain one before it has ended."""
    parts = log.rpartition('\n*** The same in ')[2].split(' sec / batch\n')
    steps = re.findall(r': step (\d+), duration', parts[-1])
    return PASSES[min(len(parts), len(PASSES)) - 1] + (
        ', step %s of %d' % (steps[-1], num_batches) if steps else '')


def time_left(seconds: List[Tuple[str, float]], waiting: List[Run], spent_s: float) -> str:
    """Estimates the time of the runs that wait, on the first of which spent_s went already, from
    the (benchmark, seconds) of those that finished. That of a sweep is unknown, as its end is."""
    if not seconds or any(run.sweep for run in waiting):
        return 'unknown'
    scale = sum(s for _, s in seconds) / sum(ROUGH_S[benchmark] for benchmark, _ in seconds)
    expected_s = [scale * ROUGH_S[run.benchmark] for run in waiting]
    return 'about ' + _clock(max(0, expected_s[0] - spent_s) + sum(expected_s[1:]))


def _clock(seconds):
    return str(datetime.timedelta(seconds=round(seconds)))


def _erase():
    return '\r\033[K' if sys.stdout.isatty() else ''


def run_all(runs: List[Run], done: Dict[str, Dict[str, Any]], folder: str, kind: str, held: int,
            outcomes: List[Outcome]) -> None:
    """Runs what is not in `done` and adds all to `outcomes`, which so survive an interruption."""
    progress, ended = Progress(), set()
    for i, run in enumerate(runs):
        if run.series in ended:
            continue
        head = '[%d of %s%d] %s: ' % (i + 1, 'at most ' if run.sweep else '', len(runs), run.name)
        if run.name in done:
            outcomes.append(Outcome(run, done[run.name]))
            print('%s%s, in an earlier call' % (head, verdict(outcomes[-1])), flush=True)
        else:
            path = os.path.join(folder, run.name)
            progress.begin(head, [one for one in runs[i:] if one.name not in done], path + '.log')
            try:
                code = run_child(run, path, held, progress.tick)
            except KeyboardInterrupt:
                progress.end('interrupted')
                raise
            outcomes.append(Outcome(run, read(path + '.json'), code))
            seconds = progress.end(verdict(outcomes[-1]))
            if not failure(outcomes[-1]):
                progress.seconds.append((run.benchmark, seconds))
            if exit_code(outcomes[-1]):
                with open(path + '.log', errors='replace') as log:
                    print(''.join('    ' + line for line in log.readlines()[-LAST_LINES:]),
                          end='', flush=True)
        if sweep_end(outcomes[-1], kind):
            ended.add(run.series)


def run_child(run: Run, path: str, held: int, tick: Callable[[], None]) -> int:
    """Runs a script, calls tick() about once a second, returns the exit code of the process.

    On Ctrl-C it writes its record and ends after the step; a second Ctrl-C kills it.
    """
    if os.path.exists(path + '.json'):                   # of a run that did not finish
        os.unlink(path + '.json')
    with open(path + '.log', 'w') as log:
        running = children.start(run.command + ['--json', path + '.json'], stdout=log,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, pass_fds=[held])
    try:
        while True:
            try:
                return running.wait(timeout=1)
            except subprocess.TimeoutExpired:
                tick()
    except BaseException:
        running.send_signal(signal.SIGINT)
        try:
            running.wait()
        except KeyboardInterrupt:
            running.kill()
            running.wait()
        raise


# What came of it

def passes(outcome: Outcome) -> List[Dict[str, Any]]:
    """Returns the results of a record that were timed to the end and checked; not those of the
    plain run that one of another precision or through XLA is held against."""
    options = outcome.run.options
    wanted = 'precision' in options, 'xla' in options
    return [entry for entry in outcome.record.get('results', []) if 'faults' in entry
            and (entry['precision'] != 'float32', entry.get('xla', False)) == wanted]


def failure(outcome: Outcome) -> Optional[str]:
    """Says why a run did not finish; None if it did."""
    status, code = outcome.record.get('status', 'running'), outcome.code
    if status == 'running':
        return 'crashed: ' + signal.Signals(-code).name if code < 0 \
            else 'could not run' if code == 3 else 'crashed: exit code %d' % code
    return {'finished': None, 'refused': 'INVALID'}.get(status, status.replace('_', ' '))


def verdict(outcome: Outcome, entry: Optional[Dict[str, Any]] = None) -> str:
    """Returns the verdict on one pass, or on the run, in a word or two."""
    entries = [entry] if entry else passes(outcome)
    if not entry and failure(outcome):
        return failure(outcome)
    if any(one['faults'] for one in entries):
        return 'INVALID'
    count = sum(len(one.get('warnings', [])) for one in [outcome.record] + entries)
    return '%d warning%s' % (count, 's' if count > 1 else '') if count else 'ok'


def exit_code(outcome: Outcome) -> int:
    """Returns 0, 1 or 3 for a run, as the docstring of this file says."""
    reason = failure(outcome)
    end_of_sweep = outcome.run.sweep and outcome.run.options['batch_size'] > 1
    if reason and reason != 'INVALID' and not (reason == 'out of memory' and end_of_sweep):
        return 3
    return int(reason == 'INVALID' or any(entry['faults'] for entry in passes(outcome)))


def sweep_end(outcome: Outcome, kind: str) -> Optional[str]:
    """Says why a sweep ends with this run; None if it goes on."""
    slowest_s = max([entry['mean_s'] for entry in passes(outcome)], default=0)
    if not failure(outcome) and kind == 'cpu' and slowest_s > SWEEP_CPU_STEP_S:
        return 'larger ones were not tried, for its step took %.1f s (limit on a CPU: %g s)' % (
            slowest_s, SWEEP_CPU_STEP_S)
    return failure(outcome)


def chapter_text(run: Run, entry: Dict[str, Any], figures: List[Dict[str, Any]]) -> str:
    """Returns the chapter's seconds for the same work; '' where it has none."""
    work = dict(entry, benchmark=run.benchmark, variant=run.variant,
                precision=report.precision(entry))
    keys = 'benchmark', 'variant', 'info_string', 'fetch', 'batch_size', 'precision'
    for figure in figures:
        if all(figure[key] == work[key] for key in keys):
            return 'about %.3f' % figure['mean_s'] if figure['sd_s'] is None \
                else '%.3f +/- %.3f' % (figure['mean_s'], figure['sd_s'])
    return ''


def rows(outcome: Outcome, figures: List[Dict[str, Any]]) -> List[Dict[str, str]]:
    """Returns the rows of the table for one run, as cells by their heading: one for each pass that
    was timed, and one for the pass in which the run failed."""
    run, found = outcome.run, []
    for entry in passes(outcome):
        mean_s, batch_size = entry['mean_s'], entry['batch_size']
        found.append({'pass': entry['info_string'], 'precision': report.precision(entry),
                      'ms / batch': '%.3f +/- %.3f' % (1e3 * mean_s, 1e3 * entry['sd_s']),
                      'ms / image': '%.3f' % (1e3 * mean_s / batch_size) if run.sweep else '',
                      'images / s': '%.1f' % (batch_size / mean_s),
                      'peak MB': '%.0f' % (entry['peak_bytes'] / 1e6) if run.sweep else '',
                      'verdict': verdict(outcome, entry),
                      'chapter, s / batch': chapter_text(run, entry, figures)})
    if failure(outcome):
        found.append({'pass': (PASSES + ('',))[len(found)], 'verdict': failure(outcome)})
    same = {'network': run.benchmark, 'variant': run.variant, 'fetch': run.options['fetch'],
            'batch': str(run.options['batch_size']), 'process': str(run.repeat)}
    return [dict(same, **row) for row in found]


def table(outcomes: List[Outcome], figures: List[Dict[str, Any]]) -> List[str]:
    """Returns the lines of the table, repetitions together, without columns that say nothing."""
    works = [outcome.run.work for outcome in outcomes]
    body = [row for outcome in sorted(outcomes, key=lambda one: works.index(one.run.work))
            for row in rows(outcome, figures)]
    columns = [[heading] + [row.get(heading, '') for row in body] for heading in HEADINGS]
    columns = [column for column in columns if set(column[1:]) - {'', USUAL.get(column[0])}]
    widths = [max(map(len, column)) for column in columns]
    return ['  '.join(cell.ljust(width) if column[0] in TEXTS else cell.rjust(width)
                      for cell, width, column in zip(line, widths, columns)).rstrip()
            for line in zip(*columns)]


def notes(outcomes: List[Outcome], kind: str) -> List[str]:
    """Returns the lines below the table: the largest batch of each sweep, never one that was not
    run, and how far the processes of --repeat are apart."""
    lines = []
    for series in dict.fromkeys(outcome.run.series for outcome in outcomes if outcome.run.sweep):
        sweep = [outcome for outcome in outcomes if outcome.run.series == series]
        last, ran = sweep[-1], [one for one in sweep if not failure(one)]
        lines.append('%s: the largest batch that ran is %s' % (
            series, ran[-1].run.options['batch_size'] if ran else 'none'))
        if sweep_end(last, kind):
            lines[-1] += '; %d: %s' % (last.run.options['batch_size'], sweep_end(last, kind))
    for work in dict.fromkeys(outcome.run.work for outcome in outcomes):
        for name in PASSES:
            ms = [1e3 * entry['mean_s'] for outcome in outcomes if outcome.run.work == work
                  for entry in passes(outcome) if entry['info_string'] == name]
            if len(ms) > 1:
                lines.append('%s, %s: %.3f to %.3f ms / batch in %d processes'
                             % (work, name, min(ms), max(ms), len(ms)))
    return lines


def argument_parser() -> argparse.ArgumentParser:
    """Returns the parser of the flags."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--only', nargs='+', choices=list(VARIANTS), metavar='NAME',
        help='out of %s (default: all)' % ', '.join(VARIANTS))
    add('--protocol', choices=list(PROTOCOLS), help='; '.join(
        '%s: batch size %d, %d steps after %d of burn-in' % ((name,) + tuple(counts.values()))
        for name, counts in PROTOCOLS.items()))
    add('--variants', action='store_true', help="all variants, not the chapter's alone")
    add('--fetch', choices=['tensors', 'ops', 'both'], default='tensors',
        help='as for the scripts, or a run of each (default: tensors)')
    add('--precision', choices=PRECISIONS, default='float32',
        help='as for the scripts, which run float32 too, to hold it against (default: float32)')
    add('--xla', action='store_true', help='as for the scripts, likewise')
    add('--sweep', action='store_true', help='batch sizes 1, 2, 4, ... up to what fits')
    add('--repeat', type=integer(1), default=1, metavar='N',
        help='each run in N fresh processes: cuDNN may choose other algorithms in each')
    for name, least in (('batch_size', 1), ('num_batches', 1), ('num_steps_burn_in', 0)):
        add('--' + name, '--' + name.replace('_', '-'), type=integer(least), metavar='N',
            help="instead of the protocol's")
    add('--device', choices=['auto', 'gpu', 'cpu'], default='auto',
        help='auto: the GPU if there is one, else the CPU (default: auto)')
    add('--output', metavar='FOLDER', help='of the results; one of an earlier call: go on there')
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs what `argv` asks for, prints the table, returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argument_parser()
    try:
        args = parser.parse_args(words)
        if distributed.launched():
            parser.error(distributed.NO_SCRIPT)
        if args.sweep and args.batch_size:
            parser.error('argument --batch_size: not allowed with --sweep, which tries them all')
        if args.sweep and (args.xla or args.precision != 'float32'):
            parser.error('argument --sweep: not allowed with --precision or --xla: it would end '
                         'where the plain run before each does not fit')
        on = device.choose(args.device)
        trouble = precision_problem(args.precision, on)
        if trouble:
            raise device.Unusable(trouble)
        why = '--protocol asks' if args.protocol else 'a %s is timed' % on.kind.upper()
        args.device = on.kind
        args.protocol = args.protocol or ('chapter' if on.kind == 'gpu' else 'quick')
        runs = plan(args)
        folder = args.output or os.path.join('results-local', '_'.join(
            re.sub(r'[^\w.]+', '-', part).strip('-') for part in (
                datetime.datetime.now().strftime('%Y-%m-%dT%H-%M-%S'), platform.node(), on.name)))
        try:
            os.makedirs(folder, exist_ok=True)
            held = lock(folder)
            done = finished_before(runs, folder, on.name)
        except (OSError, Refused) as error:
            parser.error('argument --output: %s' % error)
    except SystemExit as stop:       # argparse's way out; 0 after --help
        return stop.code
    except device.Unusable as error:
        print(error, file=sys.stderr)
        return 3

    options = runs[0].options
    print('Device: %s\nProtocol: %s, as %s: %s, %d steps after %d of burn-in' % (
        on.sentence, args.protocol, why, 'batch sizes 1, 2, 4, ...' if args.sweep
        else 'batch size %d' % options['batch_size'],
        options['num_batches'], options['num_steps_burn_in']))
    if args.protocol == 'quick':
        print('*** A short run: its times say that the scripts work, not how fast they are. ***')
    print('Results: %s' % folder, flush=True)
    figures, outcomes, interrupted = read(CHAPTER).get('figures', []), [], False
    try:
        run_all(runs, done, folder, on.kind, held, outcomes)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        os.close(held)

    print('\n'.join([''] + table(outcomes, figures) + notes(outcomes, on.kind)), flush=True)
    if interrupted:
        words = [sys.executable, '-m', 'suite', 'run'] + words
        words += [] if args.output else ['--output', folder]
        print('Interrupted. To go on: %s' % ' '.join(map(shlex.quote, words)), file=sys.stderr)
        return 130
    return max(map(exit_code, outcomes))
