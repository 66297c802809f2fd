"""The A/A experiment: identical runs compared with each other, to see how often they "differ".

    python -m tools.aa FOLDER [--processes 12] [--json PATH]

Runs AlexNet PROCESSES times, each in a new process, into FOLDER; a record that exists is not
measured again. Then it compares all pairs of disjoint groups of three records as `suite compare`
does, and all pairs of single records by the intervals that the steps of one process give. It prints
how many of these comparisons get a verdict, faster or slower, which is false each time. The pairs
share records, so they are no independent trials; their rate is right on average.
"""
import argparse
import itertools
import os
import subprocess
import sys
from typing import Any, Dict, Optional, Sequence

from common import files
from suite import pairs
from suite.figures import MIN_PROCESSES, Figure, combined, load

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FLAGS = ['--batch_size', '4', '--num_batches', '60']
VERDICTS = 'faster', 'slower'


def measure(folder: str, processes: int, device: str) -> None:
    """Writes the records that are missing in the folder."""
    os.makedirs(folder, exist_ok=True)
    for i in range(1, processes + 1):
        path = os.path.join(os.path.abspath(folder), '%02d.json' % i)
        if not os.path.exists(path):
            print('%d of %d' % (i, processes), flush=True)
            subprocess.run([sys.executable, 'alexnet_benchmark.py', '--device', device, '--json',
                            path] + FLAGS, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def rates(means_s: Sequence[float], intervals_s: Sequence[Sequence[float]]) -> Dict[str, Any]:
    """Returns how many comparisons of identical runs get a verdict.

    Args:
        means_s: the mean step of each process, in seconds.
        intervals_s: the 95 % interval of each, from its own steps.
    """
    numbers = range(len(means_s))
    figures = [Figure(None, mean_s, interval_s, None, (str(i),))
               for i, mean_s, interval_s in zip(numbers, means_s, intervals_s)]
    groups = {chosen: combined([figures[i] for i in chosen])
              for chosen in itertools.combinations(numbers, MIN_PROCESSES)}
    of_groups = [pairs.row(groups[one], groups[other]).verdict in VERDICTS
                 for one, other in itertools.combinations(groups, 2) if not set(one) & set(other)]
    of_singles = [not low <= 1 <= high for one, other in itertools.combinations(figures, 2)
                  for _, low, high in [pairs.ratio(one, other)]]
    return {'comparisons': len(of_groups), 'verdicts': sum(of_groups),
            'comparisons_of_one_process': len(of_singles),
            'verdicts_of_one_process': sum(of_singles)}


def summary(folder: str) -> Dict[str, Any]:
    """Returns what is written to --json: on what the records of the folder ran, what the other
    programs of the machine did, and for each pass the means and the rates.

    Raises ValueError: a record cannot be used, or they are not all of the same work and conditions.
    """
    source = load(folder)
    faults = [fault for figure in source.figures for fault in figure.faults]
    if source.problems or faults or len(source.figures) != 2:
        raise ValueError('; '.join(source.problems + faults) or
                         '%s: the records differ in their work or conditions' % folder)
    first, passes = source.records[0].data, []
    for number, entry in enumerate(first['results']):
        figures = [record.figures[number] for record in source.records]
        means_s = [figure.mean_s for figure in figures]
        intervals_s = [list(figure.ci95_s) for figure in figures]
        passes.append(dict({'info_string': entry['info_string'], 'means_s': means_s,
                            'ci95_s': intervals_s}, **rates(means_s, intervals_s)))
    return {'device': source.facts['device'], 'tensorflow': source.facts['tensorflow'],
            'date': first['environment']['date'], 'batch_size': first['options']['batch_size'],
            'num_batches': first['options']['num_batches'], 'processes': len(source.records),
            'busy_cpus': [(record.data['environment']['cpu_before'] or {}).get('busy_cpus')
                          for record in source.records], 'passes': passes}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Measures, compares and prints; returns the exit code: 2 if the records cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', metavar='FOLDER')
    parser.add_argument('--processes', type=int, default=12, metavar='N',
                        help='%d or more (default: 12)' % (2 * MIN_PROCESSES))
    parser.add_argument('--device', choices=['auto', 'gpu', 'cpu'], default='auto')
    parser.add_argument('--json', metavar='PATH')
    args = parser.parse_args(argv)
    if args.processes < 2 * MIN_PROCESSES:
        parser.error('argument --processes: %d is below %d, two groups of three'
                     % (args.processes, 2 * MIN_PROCESSES))
    measure(args.folder, args.processes, args.device)
    try:
        result = summary(args.folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for one in result['passes']:
        print('%s: %d of %d comparisons of three processes a side get a verdict (%.1f %%), of one '
              'process %d of %d' % (
                  one['info_string'], one['verdicts'], one['comparisons'],
                  100 * one['verdicts'] / one['comparisons'], one['verdicts_of_one_process'],
                  one['comparisons_of_one_process']))
    if args.json:
        files.write(args.json, files.json_text(result) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
