"""Runs the passes of a benchmark in one session: graph -> session -> Timing -> record."""
import argparse
import contextlib
import functools
import sys
from typing import Any, Dict, List, NamedTuple, Optional

from common import files, graph, record, report
from common.horovod import join as distributed
from common.machine import device
from common.probes import checks, memory
from common.probes import gpu as telemetry
from common.probes import layers as profiler
from common.probes import precision as speedup
from common.tf1 import tf
from common.timing import Interrupted, time_tensorflow_run


class Pass(NamedTuple):
    """One thing to time: its name, the tensors it computes, and what is fed in every step. In a
    job of several processes the target is the averaged gradients, and `own` those of this one."""
    info_string: str
    target: Any                          # a tensor or a list of gradients
    feed_dict: Optional[Dict[Any, Any]] = None
    own: Optional[List[Any]] = None

    @property
    def tensors(self) -> List[Any]:
        """The target as a list."""
        return self.target if isinstance(self.target, list) else [self.target]


def run(args: argparse.Namespace, benchmark: str, variant: str, passes: List[Pass],
        parameters: List[Any]) -> int:
    """Times the passes in turn, prints the chapter's lines and a summary for each, checks that the
    figures are valid, and writes the record to args.json after each.

    Args:
        args: the parsed flags, with a device.Device as args.device (see cli.main).
        benchmark: 'alexnet', 'vgg16', 'inception_v3' or 'resnet_v2'.
        variant: of the network, such as 'lrn' or '152'.
        passes: the forward pass first.
        parameters: the trainable variables of the network.

    Returns:
        The exit code: 0, or 1 where a validity check failed.

    Raises:
        KeyboardInterrupt, memory.Exhausted, OSError, tf.errors.OpError, device.Unusable: see
        cli.main. What was finished before is in the record.
    """
    network = graph.network(passes[0].target, parameters, args.batch_size)
    if args.group:
        passes = [one._replace(target=args.group.averaged(one.target, parameters), own=one.target)
                  if isinstance(one.target, list) else one for one in passes]
    if args.layers:
        print('\n'.join(report.layers(network)), flush=True)
    args.startup.end('graph')
    with _monitor(args.device) as monitor:
        log = record.new(benchmark, variant, args.options, args.device, monitor, network,
                         args.group and args.group.processes)
        log['warnings'] += args.group.warnings() if args.group else []
        log['faults'] = checks.sync_on_finish()
        if log['faults']:                                # no figure at all: it would be wrong
            log['status'] = 'refused'
            record.keep(log, args.json)
            print('INVALID: ' + log['faults'][0], file=sys.stderr, flush=True)
            return 1
        for warning in log['warnings']:                  # what else ran before the start
            print('warning: ' + warning['text'], flush=True)

        log['results'] += args.plain                     # the run that this one is held against
        traces = []
        with _kept(log, args.json), speedup.xla_dump(args) as dump, \
                _session(args, log, passes) as session:
            session.run(tf.global_variables_initializer())
            if args.group:
                args.group.start(session)
            args.startup.end('initialisation')
            if args.device.gpu:
                log['environment'].update(device.loaded_versions())
            for one in passes:
                difference = _difference(session, one, args)
                if one is passes[0] and difference:
                    args.startup.end('comparison')
                log['faults'] = speedup.disagreement(one.info_string, difference)
                if log['faults']:
                    log['status'] = 'refused'
                    print('INVALID: ' + log['faults'][0], file=sys.stderr, flush=True)
                    return 1
                entry = measure(session, monitor, one, args, log, dump)
                entry.update(difference=difference and difference._asdict(), layers=None)
                entry['warnings'] += [warning._asdict() for warning in speedup.doubts(difference)]
                print('\n'.join(report.result(entry)), flush=True)
                if args.plain:
                    print(report.speedup(entry, args.plain), flush=True)
                if one is passes[0]:
                    log['startup_s'] = dict(args.startup.seconds, **_first_steps(entry))
                    print(report.startup(log['startup_s']), flush=True)
                _explain(session, one, args, entry, traces)
                record.keep(log, args.json)
            log['status'] = 'finished'
    return 1 if any(entry['faults'] for entry in log['results']) else 0


def measure(session: tf.Session, monitor: Optional[telemetry.Monitor], one: Pass,
            args: argparse.Namespace, log: Dict[str, Any], xla_dump: Optional[str] = None
            ) -> Dict[str, Any]:
    """Times one pass, checks it in untimed steps, and adds its entry to the record `log`; xla_dump
    is the folder of speedup.xla_dump."""
    target, precision = fetches(one.target, args.fetch), speedup.precision(args)
    time_run = time_tensorflow_run
    if args.group:
        time_run = functools.partial(time_run, after_step=args.group.exchange.slowest)
    protocol = one.feed_dict, args.num_batches, args.num_steps_burn_in
    try:
        with telemetry.Watch(monitor) as watch:
            timing = time_run(session, target, one.info_string, *protocol)
    except (Interrupted, Exception) as error:            # what was finished is kept
        finished = getattr(error, 'timing', None)
        if finished and (finished.seconds or finished.burn_in_seconds):
            log['results'].append(record.result(finished, args.fetch, args.batch_size, precision,
                                                args.xla))
        raise
    entry = record.result(timing, args.fetch, args.batch_size, precision, args.xla)
    log['results'].append(entry)
    gpu = watch.summary(last_s=sum(timing.seconds))
    entry['warnings'] += [warning._asdict() for warning in telemetry.warnings(gpu)]
    scaling = args.group and args.group.scaling(
        session, lambda *what: time_run(*what, *protocol), one.info_string, timing,
        fetches(one.own or one.target, args.fetch), one.target if one.own else [])

    step_stats = checks.trace(session, target, one.feed_dict)
    clustered = xla_dump and speedup.clustered_convolutions(step_stats, xla_dump)
    ops = graph.needed_ops(one.tensors)
    flops = sum(map(graph.flops, ops))
    # What is known is the peak of float32.
    peak_flops = log['environment']['peak_flops'] if precision == 'float32' else None
    energy_j = gpu and gpu['energy_j']
    entry.update({
        'gpu': gpu,
        'energy_per_image_j': energy_j and energy_j / args.batch_size / args.num_batches,
        'flops': flops,
        'flops_per_s': flops / entry['mean_s'],
        'share_of_peak': flops / entry['mean_s'] / peak_flops if peak_flops else None,
        'fetched_bytes': sum(map(graph.size, one.tensors)) if args.fetch == 'tensors' else 0,
        'layers_that_run': graph.layers_that_run(one.tensors),
        'peak_bytes': memory.peak_bytes(step_stats, args.device, tf.global_variables()),
        'convolutions': {'executed': checks.executed_convolutions(step_stats),
                         'graph': checks.graph_convolutions(one.tensors)},
        'faults': (checks.parameter_count(log['network']['parameters'], log['benchmark'],
                                            log['variant'])
                   + checks.executed(step_stats, one.tensors, clustered)
                   + speedup.half_precision(session, target, one.feed_dict, args)
                   + checks.placement(step_stats, one.tensors, args.device)
                   + checks.finite(session, one.tensors, one.feed_dict)
                   + checks.rate(ops, entry['mean_s'], peak_flops)),
    })
    if args.xla:
        entry['convolutions']['executed']['in clusters'] = clustered
    entry['scaling'] = scaling
    if scaling:
        scaling['images_per_s'] = args.group.job.size * args.batch_size / entry['mean_s']
        scaling['allreduces'] = {'executed': checks.executed_allreduces(step_stats),
                                 'graph': checks.graph_allreduces(one.tensors)}
        entry['faults'] += (checks.reduced(scaling['allreduces'], len(one.own or []))
                            + args.group.unequal(session, one.target if one.own else [],
                                                 one.feed_dict))
        entry['warnings'] += [warning._asdict() for warning in distributed.doubts(scaling)]
        args.group.gather_entry(entry)
    return entry


def fetches(target: Any, fetch: str) -> Any:
    """Returns what session.run is given: the tensors themselves ('tensors'), or the operations
    that compute them ('ops'), which run without copying the results to the host.

    Never tf.group: TensorFlow 1.15 turns it into nothing (Grappler's dependency optimizer).
    """
    if fetch == 'tensors':
        return target
    return [t.op for t in (target if isinstance(target, list) else [target])]


def _difference(session, one, args):
    """How far a faster run's results are from float32's; None for a plain run."""
    if not speedup.asked(args):
        return None
    return speedup.difference(session, one.tensors, one.feed_dict, args)


def _first_steps(entry):
    """The last parts of the start: the first step of the burn-in, in which TensorFlow optimises the
    graph unless a comparison has run it before, and the rest."""
    if not entry['burn_in_s']:
        return {}
    first, *rest = entry['burn_in_s']
    return {'first run': first, 'burn-in': sum(rest, 0.0)}


def _explain(session, one, args, entry, traces):
    """What --profile and --trace ask for of a pass that was timed."""
    target = fetches(one.target, args.fetch)
    if args.profile:
        entry['layers'] = [layer._asdict() for layer in
                           profiler.profile(
                               session, target, one.tensors, one.feed_dict, args.device.kind)]
        print('\n'.join(report.profile(entry)), flush=True)
    if args.trace:
        traces.append((one.info_string, profiler.trace(session, target, one.feed_dict,
                                                        args.device.kind)))
        files.write(args.trace, profiler.chrome_trace(traces))


@contextlib.contextmanager
def _monitor(on):
    """NVML's view of the GPU, closed at the end; None for a CPU or where NVML is not to be had."""
    monitor = telemetry.open_gpu(on.gpu.pci_bus_id)[0] if on.gpu else None
    try:
        yield monitor
    finally:
        if monitor:
            monitor.close()


@contextlib.contextmanager
def _session(args, log, passes):
    """Opens a session in which the end of memory is a memory.Exhausted, however it shows."""
    tensors = [t for one in passes for t in one.tensors]
    available = memory.available_bytes(args.device)

    def exhausted(allocated):
        log['status'] = 'out_of_memory'
        return memory.Exhausted(memory.sentence(args.batch_size, allocated, memory.worth_trying(
            tensors, tf.global_variables(), args.batch_size, available)))

    def last_words():                                    # memory.limit ends the process after them
        print(exhausted('A kernel was refused memory.'), file=sys.stderr, flush=True)
        record.keep(log, args.json)

    with tensors[0].graph.as_default(), memory.limit(args.device, last_words):
        try:
            with device.open_session(args.device, speedup.configuration(args)) as session:
                yield session
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            line = getattr(error, 'message', None) or str(error) or 'Python was refused memory.'
            raise exhausted(line.strip().split('\n')[0]) from None


@contextlib.contextmanager
def _kept(log, path):
    """Writes the record whatever ends the run, with how it ended."""
    try:
        yield
    except KeyboardInterrupt:
        log['status'] = 'interrupted'
        raise
    except BaseException as error:
        log.update(status='failed' if log['status'] == 'running' else log['status'],
                   error=(getattr(error, 'message', None) or str(error)).strip().split('\n')[0])
        raise
    finally:
        record.keep(log, path)
