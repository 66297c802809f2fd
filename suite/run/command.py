"""Runs the four benchmarks in turn, each in a process of its own, and keeps their records in one
folder.

The protocol depends on the device, unless --protocol is given: on a GPU it is the chapter's, on a
CPU a quick one: the chapter's batch, few steps, and mostly the forward pass. --sweep tries batch
sizes 1, 2, 4, ... until one does not fit into memory (on a CPU: or until a step takes longer than
10 s).

Each run writes its record, NAME.json, and its output, NAME.log. Without --output they go into a new
folder, results-local/DATE_HOST_DEVICE. To resume a call that was interrupted, give its folder: runs
that finished there are not repeated. A line names each condition in which they differ from now.

    python -m suite run [--only alexnet vgg16] [--variants] [--fetch both] [--sweep] [--repeat 3]

Exit code: 0 all figures are valid, 1 a validity check failed, 2 bad usage, 3 something could not be
run (a sweep that runs out of memory has not failed), 130 interrupted.
"""
import argparse
import datetime
import os
import platform
import re
import sys
from typing import Any, Dict, List, Optional, Sequence

from common import networks, report
from common.arguments import integer, returns_exit_code
from common.horovod import launch
from suite.run import execute, plan, summary

MAX_REPEAT = 1000                    # all runs are listed before the first starts


@returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs what `argv` asks for, prints the table, returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = parse(words)
    device = execute.find_device(args.device)
    runs = plan.make(args, device['kind'])
    folder = new_folder(device) if args.output is None else args.output
    completed, is_interrupted = [], False                # type: List[execute.CompletedRun], bool
    with execute.locked(folder) as held:
        done, problems = execute.finished_before(runs, folder, device)
        try:
            for problem in problems:
                print(problem, file=sys.stderr, flush=True)
            print('\n'.join(['Device: ' + device['sentence']] + plan.describe(args, device['kind'])
                            + ['Results: ' + folder]), flush=True)
            for run in execute.run_all(runs, done, folder, held):
                completed.append(run)
        except KeyboardInterrupt:
            is_interrupted = True
    print('\n'.join([''] + summary.table(completed) + summary.notes(completed)), flush=True)
    if is_interrupted:
        folders = ['--output', folder] if args.output is None else []
        print('Interrupted. To resume: ' + report.command('run', *words, *folders),
              file=sys.stderr)
        return 130
    print('\n'.join(summary.ending(completed, folder)), flush=True)
    return max(run.exit_code for run in completed)


def argument_parser() -> argparse.ArgumentParser:
    """Returns the parser of the flags."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--only', nargs='+', choices=list(networks.NETWORKS), metavar='NAME',
        help='any of %s (default: all)' % ', '.join(networks.NETWORKS))
    add('--protocol', choices=list(plan.PROTOCOLS), help='; '.join(
        '%s: batch size %d, %d steps after a burn-in of %d' % ((name,) + tuple(counts.values()))
        for name, counts in plan.PROTOCOLS.items()))
    add('--variants', action='store_true',
        help='all variants, not only those that the chapter times')
    add('--fetch', choices=['tensors', 'ops', 'both'],
        help='as for the scripts; both: a run of each (default: both on a GPU, tensors on a CPU)')
    add('--precision', choices=['float32', 'tf32', 'mixed'], default='float32',
        help='as for the scripts, which then run float32 too, to compare with (default: float32)')
    add('--xla', action='store_true', help='as for the scripts, likewise')
    add('--sweep', action='store_true', help='batch sizes 1, 2, 4, ... up to what fits')
    add('--repeat', type=integer(1, MAX_REPEAT), default=1, metavar='N',
        help='run each N times, in new processes: cuDNN may choose other algorithms in each')
    for name, at_least in (('batch_size', 1), ('num_batches', 1), ('num_steps_burn_in', 0)):
        add('--' + name, '--' + name.replace('_', '-'), type=integer(at_least), metavar='N',
            help="instead of the protocol's")
    add('--device', choices=['auto', 'gpu', 'cpu'], default='auto',
        help='auto: the GPU if there is one, else the CPU (default: auto)')
    add('--output', metavar='FOLDER', help='where the results go; that of an earlier call: resume')
    return parser


def parse(words: List[str]) -> argparse.Namespace:
    """Returns the flags. Raises SystemExit on bad usage, as argparse does."""
    parser = argument_parser()
    args = parser.parse_args(words)
    if launch.is_launched():
        parser.error(launch.NO_SCRIPT)
    if args.sweep and args.batch_size:
        parser.error('argument --batch_size: not allowed with --sweep, which tries them all')
    if args.sweep and (args.xla or args.precision != 'float32'):
        parser.error('argument --sweep: not allowed with --precision or --xla: it would end where '
                     'the float32 baseline does not fit')
    return args


def new_folder(device: Dict[str, Any]) -> str:
    """Returns the name of a new folder of results: results-local/DATE_HOST_DEVICE."""
    date = datetime.datetime.now().strftime('%Y-%m-%dT%H-%M-%S')
    return os.path.join('results-local', '_'.join(
        re.sub(r'[^A-Za-z0-9_.]+', '-', part).strip('-')
        for part in (date, platform.node(), device['name'])))
