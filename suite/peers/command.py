"""Compares our networks with the same networks of other libraries, on one machine.

    slim          the nets of tf.contrib.slim (modern runtime: of tf_slim), on the same TensorFlow
    keras         tf.keras.applications, on the same TensorFlow
    torchvision   its models, and for ResNet V2, which it does not have, timm's: on PyTorch, where
    timm          the packages are installed beside the modern runtime

    python -m suite peers [--only vgg16 resnet_v2] [--peers slim] [--batch_size 32] [--json PATH]

Each network is timed in 20 rounds. In a round every contender is built in a new process of its own;
then each takes four turns in each pass, in a random order that every second turn reverses. Batch
size, precision, fetch, input, pass and clock are the same for all. Where a peer computes something
else, the notes below the table say so; the table has the GFLOP of both.

The time of a contender in a round is that of its fastest step, because whatever else the machine
does can only add to a step. The ratio is our time divided by the peer's, above 1 if ours is slower:
the median of the means of each two rounds (Hodges, Lehmann), with the 95 % interval of Wilcoxon's
signed-rank test. A round in which one contender alone was disturbed hardly moves them.

All contenders of a network are in memory at the same time; if that is too much, take fewer peers or
a smaller batch.

The control is our network once more, timed like a peer. Its ratio should be 1, and its interval
shows the smallest difference that the method can detect here: a peer is called slower or faster
only if its whole interval is above, or below, both 1 and the control's. The record is written after
each round from the sixth on.

Exit code: 0 all figures are valid, 1 a check failed, 2 bad usage, 3 the machine cannot run it as
asked, 130 interrupted.
"""
import argparse
import importlib
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence

import inception_v3_benchmark
from common import arguments, cli, files, networks, record, variables
from common.horovod.launch import NO_SCRIPT, is_launched
from common.machine import device
from common.probes import precision
from common.stop import Stop
from common.workload import Run
from suite.peers import contenders, rounds, tables
from suite.tables import Block, format_text

STEPS = rounds.ROUNDS * rounds.TURNS  # --num_batches is a multiple of this


def time_all(args: argparse.Namespace) -> int:
    """Times all requested networks and their peers; prints and writes the results. Returns the exit
    code."""
    run = Run(args, device.choose(args.device), None, None, None)
    problem = precision.problem(args.precision, run.device)
    if problem:
        raise Stop(problem)
    fault = variables.refusal(args.precision, os.environ)    # the workers inherit the variables
    if fault:
        raise Stop(fault, 1, 'refused')
    print('Device: %s' % run.device.sentence, flush=True)
    log = {'kind': 'peers', 'environment': record.environment(run), 'options': run.options,
           'results': []}
    try:
        for network in args.only or contenders.MATCHES:
            if args.peers is None or contenders.MATCHES[network].torch[0] in args.peers:
                print_missing(network)
            before, latest = log['results'], []          # type: List[Any], List[Any]
            for latest in time_network(network, run):
                log['results'] = before + latest
                record.keep(log, args.json)
            for entry in latest:
                print('%s, %s: %.3f times the step of %s (%s)' % (
                    network, entry['info_string'], entry['ratio'], entry['peer'],
                    entry['verdict']), flush=True)
    finally:                                             # also what was timed before an error
        if log['results']:
            print('\n' + format_text([Block('Ours beside its peers', tables.table(log['results']),
                                            tables.notes(log['results']))]), end='', flush=True)
    return int(any(entry['faults'] for entry in log['results']))


def print_missing(network: str) -> None:
    """Prints a line if packages of the PyTorch peer are not installed."""
    missing = contenders.missing(network)
    if missing:
        print('%s: %s not installed: PyTorch is left out' % (network, ' and '.join(missing)),
              flush=True)


def time_network(network: str, run: Run) -> Iterator[List[Dict[str, Any]]]:
    """Yields the entries of a network after each round from tables.MIN_ROUNDS on; prints each."""
    names = [name for name in contenders.available(network)
             if run.args.peers is None or name not in contenders.PEERS or name in run.args.peers]
    if 'torchvision' in names and network == 'inception_v3' and (
            run.args.batch_size == 1 and not run.args.forward_only):
        names.remove('torchvision')
        print('inception_v3: torchvision is left out, because PyTorch does not train the batch '
              'norm of the auxiliary classifier on one image: take --batch_size 2 or more, or '
              '--forward_only', flush=True)
    if run.args.peers and not set(names) & set(contenders.PEERS):
        print('%s: none of --peers is there: only the control is timed' % network, flush=True)
    task = contenders.Task(
        contenders.OURS, network, dict(run.options, device=run.device.kind),
        importlib.import_module(network + '_benchmark').IMAGE_SIZE,
        inception_v3_benchmark.AUX_WEIGHT)
    answers = []                                         # type: List[Dict[str, Dict[str, Any]]]
    for answer in rounds.measure(task, names, run.args.num_batches // STEPS,
                                 run.args.num_steps_burn_in):
        answers.append(answer)
        print('%s: round %d of %d' % (network, len(answers), rounds.ROUNDS), flush=True)
        if len(answers) >= tables.MIN_ROUNDS:
            yield entries(network, names, answers, run)


def entries(network: str, names: Sequence[str], answers: Sequence[Dict[str, Dict[str, Any]]],
            run: Run) -> List[Dict[str, Any]]:
    """Returns the entries of the record for a network: for each pass one for the control, whose
    peer is 'ours', and one for each peer. `answers` are the workers', by round and contender; the
    first round has the checks."""
    checks = {name: answers[0][name]['checks'] for name in names}
    match = contenders.MATCHES[network]
    result = []                                          # type: List[Dict[str, Any]]
    for info_string in answers[0][contenders.OURS]['seconds']:
        times_s = {name: [min(answer[name]['seconds'][info_string]) for answer in answers]
                   for name in names}                    # of the fastest step, by round
        for name in names[1:]:
            peer = contenders.OURS if name == contenders.CONTROL else name
            ratio, low, high = tables.ratio(times_s[contenders.OURS], times_s[name])
            result.append({
                'benchmark': network, 'info_string': info_string, 'peer': peer,
                'version': checks[name]['version'], 'fetch': run.args.fetch,
                'batch_size': run.args.batch_size, 'precision': run.precision,
                'flags': networks.NETWORKS[network].variants[match.variant].flags,
                'ours_s': times_s[contenders.OURS], 'peer_s': times_s[name], 'ratio': ratio,
                'ci95': [low, high], 'verdict': None,
                'ours_flops': checks[contenders.OURS]['flops'][info_string],
                'peer_flops': checks[name]['flops'][info_string],
                'differs': tables.DIFFERS.get((network, peer)),
                'faults': ['%s: %s' % (side, fault) for side in (contenders.OURS, name)
                           for fault in checks[side]['faults'][info_string]]})
    return [dict(entry, verdict=tables.entry_verdict(entry, result)) for entry in result]


@arguments.returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs what `argv` asks for; returns the exit code."""
    parser = cli.argument_parser(__doc__, leave_out=(
        'num_batches', 'xla', 'profile', 'trace', 'layers', 'details'))
    parser.set_defaults(xla=False, trace=None)
    parser.add_argument('--num_batches', '--num-batches', type=arguments.integer(STEPS),
                        default=240, metavar='N',
                        help='timed steps of each contender in each pass, a multiple of %d: %d '
                        'rounds of %d turns (default: 240)' % (STEPS, rounds.ROUNDS, rounds.TURNS))
    parser.add_argument('--only', nargs='+', choices=list(contenders.MATCHES), metavar='NAME',
                        help='out of %s (default: all)' % ', '.join(contenders.MATCHES))
    parser.add_argument('--peers', nargs='*', choices=contenders.PEERS, metavar='PEER',
                        help='the peers to time, out of %s (default: all that are installed); no '
                        'name: only the control' % ', '.join(contenders.PEERS))
    args = parser.parse_args(argv)
    if is_launched():
        parser.error(NO_SCRIPT)
    if args.num_batches % STEPS:
        parser.error('argument --num_batches: %d is no multiple of %d (%d rounds of %d turns)'
                     % (args.num_batches, STEPS, rounds.ROUNDS, rounds.TURNS))
    trouble = None if args.json is None else files.argument_problem('--json', args.json)
    if trouble:
        parser.error(trouble)
    return cli.exit_code(lambda: time_all(args), args.batch_size)
