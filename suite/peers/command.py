"""Compares our networks with the same networks of other libraries, on one machine.

    slim          the nets of tf.contrib.slim (modern runtime: of tf_slim), on the same TensorFlow
    keras         tf.keras.applications, on the same TensorFlow
    torchvision   its models, and for ResNet V2, which it does not have, timm's, if they are
    timm          installed beside the modern runtime: on PyTorch, in channels_last, compiled by
                  torch.compile where that works, the forward pass under inference_mode

    python -m suite peers [--only vgg16 resnet_v2] [--peers slim] [--batch_size 32] [--json PATH]

Each network is timed in 20 rounds. In a round every contender is built in a new process of its own;
then each takes four turns in each pass, in a random order that every second turn reverses. Batch
size, precision, fetch, input, pass and clock are the same for all. Where a peer computes something
else, the notes below the table say so; the table has the GFLOP of both.

The time of a contender in a round is that of its fastest step, because whatever else the machine
does can only add to a step. The ratio is our time divided by the peer's, above 1 if ours is slower:
the median of the means of each two rounds (Hodges, Lehmann), with the 95 % interval of Wilcoxon's
signed-rank test. A round in which one contender alone was disturbed hardly moves them.

Ours is slower if the whole interval is above 1.01, faster if it is below 0.99; the two are
equivalent if it lies between, otherwise it is undecided. A peer with other layers, or whose FLOP
differ by more than 0.5 %, gets no verdict. The control is our network once more, timed like a peer.

All contenders of a network are in memory at the same time; if that is too much, use fewer peers or
a smaller batch. The record is written after each round from the sixth on.

Exit code: 0 all figures are valid, 1 a check failed, 2 bad usage, 3 the machine cannot run it as
asked, 130 interrupted.
"""
import argparse
import importlib
import importlib.util
from typing import Any, Dict, Iterator, List, Optional, Sequence

import inception_v3_benchmark
from common import arguments, cli, files, networks, record, text
from common.horovod.launch import NO_SCRIPT, is_launched
from common.machine import device
from common.probes import precision
from common.workload import Run
from suite.peers import rounds, tables
from suite.peers.contenders import CONTROL, KERAS, MATCHES, OURS, PEERS, SLIM

STEPS = rounds.ROUNDS * rounds.TURNS  # --num_batches is a multiple of this


def time_all(args: argparse.Namespace) -> int:
    """Times all requested networks and their peers; prints and writes the results. Returns the exit
    code."""
    run = Run(args, device.choose(args.device), None, None, None)
    precision.refuse(args.precision, run.device)         # the workers inherit the variables
    print('Device: %s' % run.device.sentence, flush=True)
    log = {'kind': 'peers', 'environment': record.environment(run), 'options': run.options,
           'status': 'running', 'results': []}
    try:
        with record.saved(log, args.json):
            for network in dict.fromkeys(args.only or MATCHES):
                before = log['results']                  # type: List[Any]
                for latest in time_network(network, run):
                    log['results'] = before + latest
                    record.save(log, args.json)
            log['status'] = 'finished'
    finally:                                             # also what was timed before an error
        if log['results']:
            block = text.TextBlock('Ours beside its peers', tables.table(log['results']),
                               tables.notes(log['results']))
            print('\n' + text.as_text([block]), end='', flush=True)
    return int(any(entry['faults'] for entry in log['results']))


def time_network(network: str, run: Run) -> Iterator[List[Dict[str, Any]]]:
    """Yields the entries of a network after each round from tables.MIN_ROUNDS on."""
    args, match = run.args, MATCHES[network]
    torch_peer = match.torch[0]
    peers = [name for name in [SLIM] + [KERAS] * bool(match.keras) + [torch_peer]
             if args.peers is None or name in args.peers]
    missing = [name for name in ('torch', torch_peer) if importlib.util.find_spec(name) is None]
    why = ''
    if missing:
        why = 'PyTorch is left out, because %s not installed' % (
            ' and '.join(missing) + (' is' if len(missing) == 1 else ' are'))
    elif network == 'inception_v3' and args.batch_size == 1 and not args.forward_only:
        why = ('torchvision is left out, because PyTorch does not train the batch norm of the '
               'auxiliary classifier on one image: use --batch_size 2 or more, or --forward_only')
    if why and torch_peer in peers:
        peers.remove(torch_peer)
        print('%s: %s' % (network, why), flush=True)
    names = [OURS, CONTROL] + peers
    if args.peers and not peers:
        print('%s: none of --peers is available, so only the control is timed' % network,
              flush=True)
    task = dict(run.options, network=network, device=run.device.kind,
                image_size=importlib.import_module(network + '_benchmark').IMAGE_SIZE,
                aux_weight=inception_v3_benchmark.AUX_WEIGHT)
    answers = []                                         # type: List[Dict[str, Dict[str, Any]]]
    for answer in rounds.measure(task, names, args.num_batches // STEPS, args.num_steps_burn_in):
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
    flags = networks.NETWORKS[network].variants[MATCHES[network].variant].flags
    result = []                                          # type: List[Dict[str, Any]]
    for info_string in answers[0][OURS]['seconds']:
        times_s = {name: [min(answer[name]['seconds'][info_string]) for answer in answers]
                   for name in names}                    # of the fastest step, by round
        for name in names[1:]:
            peer = OURS if name == CONTROL else name
            ratio, low, high = tables.ratio(times_s[OURS], times_s[name])
            differs = [tables.DIFFERS.get((network, peer)), checks[name]['note']]
            entry = {
                'benchmark': network, 'info_string': info_string, 'peer': peer,
                'version': checks[name]['version'], 'fetch': run.args.fetch,
                'batch_size': run.args.batch_size, 'precision': run.precision, 'flags': flags,
                'ours_s': times_s[OURS], 'peer_s': times_s[name], 'ratio': ratio,
                'ci95': [low, high], 'verdict': None,
                'ours_flops': checks[OURS]['flops'][info_string],
                'peer_flops': checks[name]['flops'][info_string],
                'differs': '; '.join(filter(None, differs)) or None,
                'faults': ['%s: %s' % (side, fault) for side in (OURS, name)
                           for fault in checks[side]['faults'][info_string]]}
            result.append(dict(entry, verdict=tables.verdict(entry)))
    return result


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
    parser.add_argument('--only', nargs='+', choices=list(MATCHES), metavar='NAME',
                        help='out of %s (default: all)' % ', '.join(MATCHES))
    parser.add_argument('--peers', nargs='*', choices=PEERS, metavar='PEER',
                        help='the peers to time, out of %s (default: all that are installed); no '
                        'name: only the control' % ', '.join(PEERS))
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
