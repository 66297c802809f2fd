"""Plans `suite run`: the runs, their order and their protocol."""
import argparse
import os
import sys
from typing import Any, Dict, List, NamedTuple

from common import networks

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROTOCOLS = {'chapter': {'batch_size': 32, 'num_batches': 100, 'num_steps_burn_in': 10},
             'quick': {'batch_size': 2, 'num_batches': 5, 'num_steps_burn_in': 1}}
SWEEP_LIMIT = 2 ** 16                # the largest batch size of a sweep


class PlannedRun(NamedTuple):
    """One process: a script with its flags, by name in `options`. `repeat` counts from 1."""
    benchmark: str
    variant: str
    options: Dict[str, Any]
    repeat: int
    is_sweep: bool

    @property
    def series(self) -> str:
        """The same for all batch sizes of one sweep: 'vgg16-D-tensors-r2'."""
        return self._prefix + self._suffix

    @property
    def work(self) -> str:
        """The same for all repetitions of a run: 'vgg16-D-tensors-b32'."""
        return '%s-b%d' % (self._prefix, self.options['batch_size'])

    @property
    def name(self) -> str:
        """The name on the screen and of its files: 'vgg16-D-tensors-b32-r2'."""
        return self.work + self._suffix

    @property
    def has_baseline(self) -> bool:
        """True if the script runs float32 without XLA first, to compare with."""
        return 'precision' in self.options or 'xla' in self.options

    @property
    def command(self) -> List[str]:
        """The words that start it, without --json."""
        script = os.path.join(ROOT, networks.script(self.benchmark))
        return [sys.executable, os.path.relpath(script)] + networks.words(self.options)

    @property
    def _prefix(self) -> str:
        parts = [self.benchmark, self.variant, self.options['fetch']]
        parts += [self.options['precision']] if 'precision' in self.options else []
        return '-'.join(parts + ['xla'] * ('xla' in self.options))

    @property
    def _suffix(self) -> str:
        return '-r%d' % self.repeat if self.repeat > 1 else ''


class Plan(NamedTuple):
    """The runs in their order, with the name of the protocol and why it was chosen."""
    protocol: str
    reason: str
    runs: List[PlannedRun]

    def describe(self) -> List[str]:
        """Returns the lines that announce it."""
        options, is_sweep = self.runs[0].options, self.runs[0].is_sweep
        sizes = 'batch sizes 1, 2, 4, ...' if is_sweep else 'batch size %d' % options['batch_size']
        lines = ['Protocol: %s (%s): %s, %d steps after a burn-in of %d' % (
            self.protocol, self.reason, sizes, options['num_batches'],
            options['num_steps_burn_in'])]
        if self.protocol == 'quick':
            lines.append('*** Quick protocol: it shows that the scripts work, not how fast they '
                         'are. ***')
        return lines


def make(args: argparse.Namespace, device: str) -> Plan:
    """Returns the plan for the parsed flags on a device, 'gpu' or 'cpu'.

    A sweep is planned up to SWEEP_LIMIT; it ends earlier, at the batch size that does not fit.
    """
    protocol, reason = args.protocol, '--protocol'
    if not protocol:
        protocol, reason = (('chapter', 'default on a GPU') if device == 'gpu'
                            else ('quick', 'default on a CPU'))
    options = dict(PROTOCOLS[protocol], device=device)
    options.update((name, getattr(args, name)) for name in PROTOCOLS[protocol]
                   if getattr(args, name) is not None)
    if args.precision != 'float32':
        options['precision'] = args.precision
    if args.xla:
        options['xla'] = True
    batch_sizes = [2 ** i for i in range(SWEEP_LIMIT.bit_length())] if args.sweep \
        else [options['batch_size']]
    runs = [PlannedRun(benchmark, name, dict(options, batch_size=batch_size, fetch=fetch,
                                             **variant.flags), repeat, args.sweep)
            for repeat in range(1, args.repeat + 1)
            for benchmark, network in networks.NETWORKS.items()
            if benchmark in (args.only or networks.NETWORKS)
            for name, variant in network.variants.items()
            if args.variants or name in networks.default_variants(benchmark)
            for fetch in (['tensors', 'ops'] if args.fetch == 'both' else [args.fetch])
            for batch_size in batch_sizes]
    return Plan(protocol, reason, runs)
