"""Plans `suite run`: the runs, their order and their protocol."""
import argparse
import os
import sys
from typing import Any, Dict, List, NamedTuple

from common import networks

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROTOCOLS = {'chapter': {'batch_size': 32, 'num_batches': 100, 'num_steps_burn_in': 10},
             'quick': {'batch_size': 32, 'num_batches': 3, 'num_steps_burn_in': 1}}
DEFAULT_FETCH = {'gpu': 'both', 'cpu': 'tensors'}        # a CPU copies next to nothing
# The quick protocol leaves out their forward-backward pass: on two CPU cores a step of VGG's takes
# 21 s, and the chapter has not timed those of the other two.
QUICK_FORWARD_ONLY = 'vgg16', 'inception_v3', 'resnet_v2'
SWEEP_LIMIT = 2 ** 16                # the largest batch size of a sweep


class PlannedRun(NamedTuple):
    """One process: a script with its flags, by name in `options`. `repeat` counts from 1."""
    benchmark: str
    variant: str
    options: Dict[str, Any]
    repeat: int
    is_sweep: bool

    @property
    def name(self) -> str:
        """The name on the screen and of its files: 'vgg16-D-tensors-b32-r2'."""
        return self.label()

    def label(self, batch: bool = True, repeat: bool = True) -> str:
        """Returns the name; without `batch` it is the same for all sizes of a sweep, without
        `repeat` for all repetitions of a run."""
        parts = [self.benchmark, self.variant, self.options['fetch']]
        parts += [self.options['precision']] if 'precision' in self.options else []
        parts += ['xla'] if 'xla' in self.options else []
        parts += ['b%d' % self.options['batch_size']] if batch else []
        return '-'.join(parts + (['r%d' % self.repeat] if repeat and self.repeat > 1 else []))

    @property
    def has_baseline(self) -> bool:
        """True if the script runs float32 without XLA first, to compare with."""
        return 'precision' in self.options or 'xla' in self.options

    @property
    def command(self) -> List[str]:
        """The words that start it, without --json."""
        script = os.path.join(ROOT, networks.script(self.benchmark))
        return [sys.executable, os.path.relpath(script)] + networks.words(self.options)


def protocol_options(protocol: str, benchmark: str) -> Dict[str, Any]:
    """Returns the flags of a script under a protocol, by name."""
    if protocol == 'quick' and benchmark in QUICK_FORWARD_ONLY:
        return dict(PROTOCOLS[protocol], forward_only=True)
    return PROTOCOLS[protocol]


def make(args: argparse.Namespace, device: str) -> List[PlannedRun]:
    """Returns the runs for the parsed flags on a device, 'gpu' or 'cpu', in their order.

    A sweep is planned up to SWEEP_LIMIT; it ends earlier, at the batch size that does not fit.
    """
    protocol, _ = _protocol(args, device)
    options = {'device': device}                         # besides those of the protocol
    options.update((name, getattr(args, name)) for name in PROTOCOLS[protocol]
                   if getattr(args, name) is not None)
    if args.precision != 'float32':
        options['precision'] = args.precision
    if args.xla:
        options['xla'] = True
    batch_sizes = [2 ** i for i in range(SWEEP_LIMIT.bit_length())] if args.sweep \
        else [options.get('batch_size', PROTOCOLS[protocol]['batch_size'])]
    requested = args.fetch or DEFAULT_FETCH[device]
    return [PlannedRun(benchmark, name, dict(protocol_options(protocol, benchmark), **dict(
        options, batch_size=batch_size, fetch=fetch, **variant.flags)), repeat, args.sweep)
            for repeat in range(1, args.repeat + 1)
            for benchmark, network in networks.NETWORKS.items()
            if benchmark in (args.only or networks.NETWORKS)
            for name, variant in network.variants.items()
            if args.variants or name in networks.default_variants(benchmark)
            for fetch in (['tensors', 'ops'] if requested == 'both' else [requested])
            for batch_size in batch_sizes]


def describe(args: argparse.Namespace, device: str) -> List[str]:
    """Returns the lines that announce the protocol and say why it was chosen."""
    name, reason = _protocol(args, device)
    options = make(args, device)[0].options
    lines = ['Protocol: %s (%s): %s, %d steps after a burn-in of %d' % (
        name, reason, 'batch sizes 1, 2, 4, ...' if args.sweep else
        'batch size %d' % options['batch_size'],
        options['num_batches'], options['num_steps_burn_in'])]
    if name == 'quick':
        lines.append('*** Quick protocol: rough times, and of %s the forward pass alone; '
                     '--protocol chapter times all. ***' % ', '.join(QUICK_FORWARD_ONLY))
    return lines


def _protocol(args, device):
    if args.protocol:
        return args.protocol, '--protocol'
    return ('chapter', 'default on a GPU') if device == 'gpu' else ('quick', 'default on a CPU')
