"""The story of one run: device, job, graph, session, then each pass: timed, examined, recorded."""
import argparse
import contextlib
from typing import Any, Callable, Dict, Iterator, Tuple

from common import graph, record, report, tf1
from common.cautions import Caution
from common.horovod import launch
from common.horovod.join import joined, naming_the_lost
from common.machine import device, host, nvidia, session
from common.probes import checks, cost, cpu, gpu, layers, memory, precision, ranks, values, xla
from common.startup import Startup
from common.tf1 import tf
from common.timing import Timing, time_tensorflow_run
from common.workload import Pass, Run, Workload, options

__all__ = ['Pass', 'Run', 'Workload', 'measure', 'run']


def run(args: argparse.Namespace, build: Callable[[argparse.Namespace], Workload]) -> int:
    """Times the passes of a network in turn, prints the chapter's lines and a summary of each,
    checks that the figures are valid, and writes the record to args.json before the first pass and
    after each.

    Args:
        args: the parsed flags of a script.
        build: adds the network to the default graph and returns what will be timed.

    Returns:
        The exit code: 0, or 1 if a validity check failed.

    Raises:
        KeyboardInterrupt, Stop, OSError, tf.errors.OpError: cli.main turns them into exit codes.
            The passes that were finished before are in the record.
    """
    timer = Startup()                                    # it began with the process
    timer.end('import')
    with _device_and_job(args, timer, build) as (on, job), tf.Graph().as_default():
        run = Run(args, on, job, timer, build(args))
        timer.end('graph')
        data = record.new(run)
        with record.saved(data, args.json), naming_the_lost(job):
            record.save(data, args.json)                 # it stays if the process is killed
            precision.refuse(args.precision, on)
            with gpu.opened(on.gpu) as (nvml, why_none):
                if precision.is_requested(run):
                    data['results'] += precision.baseline(run)
                    timer.end('baseline')
                look_around(run, nvml, why_none, data)
                report.print_start(data)
                passes = run.workload.passes
                if job:
                    passes = ranks.averaged(job, passes, run.workload.parameters)
                with xla.dumping(args.xla), session.opened(run, passes) as opened:
                    opened.run(tf.global_variables_initializer())
                    if job:
                        ranks.start(job, opened)
                    if on.gpu:
                        data['environment'].update(nvidia.loaded_versions(tf1.NEEDS.libraries))
                    timer.end('initialisation')
                    for number, timed_pass in enumerate(passes, 1):
                        measure(run, opened, timed_pass, nvml, data)
                        if args.trace:
                            layers.write_trace(args.trace, opened, passes[:number], args.fetch,
                                               on.kind)
                        report.print_latest(data)
                        record.save(data, args.json)
            data['status'] = 'finished'
        report.print_summary(data, args.json)
    return int(any(entry['faults'] for entry in data['results']))


def look_around(run: Run, nvml: Any, why_none: Any, data: Dict[str, Any]) -> None:
    """Adds to the record what else the device was busy with before the start, and cautions that
    concern all passes. `nvml` is a gpu.NvmlGpu; where it is None, `why_none` may say why."""
    environment = data['environment']
    if run.device.gpu:
        environment.update(gpu.before(run.device.gpu, nvml, why_none))
    else:
        environment['cpu_before'] = host.cpu_load()
    cautions = (gpu.busy(environment['gpu_before']) + cpu.busy(environment['cpu_before'], run.job)
                + checks.untested_version() + (ranks.cautions_before(run.job) if run.job else []))
    data['warnings'] += [caution._asdict() for caution in cautions]


def measure(run: Run, session: Any, timed_pass: Pass, nvml: Any, data: Dict[str, Any]) -> None:
    """Times one pass, adds it to the record, and examines it in untimed steps."""
    args, target = run.args, graph.fetches(timed_pass.target, run.args.fetch)
    difference = None
    if precision.is_requested(run):
        difference = precision.compared(session, timed_pass, run)
        run.timer.end('comparison')
    with record.unfinished(run, data) as finished:
        with gpu.Sampler(nvml) as sampler:
            finished.append(time_tensorflow_run(
                session, target, timed_pass.info_string, timed_pass.feed_dict, args.num_batches,
                args.num_steps_burn_in, after_step=run.after_step))
        timing, = finished
        record.add_first_steps(data, run.timer, timing)
        entry = record.result(run, timing)
        data['results'].append(entry)
    entry.update(gpu.of_pass(sampler, timing, args.batch_size), difference=difference)
    examine(run, session, timed_pass, timing, data)


def examine(run: Run, session: Any, timed_pass: Pass, timing: Timing, data: Dict[str, Any]
            ) -> None:
    """Adds to the latest pass in the record what its operations are and did, its cautions, and why
    it is not valid."""
    args, on, entry, network = run.args, run.device, data['results'][-1], data['network']
    target, feed_dict = graph.fetches(timed_pass.target, args.fetch), timed_pass.feed_dict
    tensors, ops = timed_pass.tensors, graph.needed_ops(timed_pass.tensors)
    step_stats = graph.trace(session, target, feed_dict)
    peak = data['environment']['peak_flops'] if run.precision == 'float32' else None

    entry['convolutions'] = checks.convolutions(step_stats, tensors, xla.clustered_convolutions(
        step_stats) if args.xla else None)
    entry.update(cost.of_pass(ops, tensors, timing.mean, peak, args.fetch))
    entry['copy_share'] = None                           # a CPU copies next to nothing
    if on.kind == 'gpu' and args.fetch == 'tensors':
        entry['copy_share'] = cost.copy_share(session, timed_pass.target, feed_dict)
    entry['peak_bytes'] = memory.peak_bytes(step_stats, on, tf.global_variables())
    if args.profile:
        entry['layers'] = layers.profile(session, target, tensors, feed_dict, on.kind)
    entry['values'] = values.measured(session, tensors, feed_dict, run.precision,
                                      precision.XLA_RUNS if args.xla else 1)
    cautions = ([Caution(**caution) for caution in entry['warnings']]
                + gpu.cautions(entry['gpu']) + cost.cautions(entry)
                + precision.cautions(entry['difference'])
                + values.cautions(entry['values'], run.precision))
    faults = (precision.half_precision(run, session, target, feed_dict)
              + checks.parameter_count(network['parameters'], data['benchmark'], data['variant'])
              + checks.executed(entry['convolutions'])
              + checks.placement(step_stats, tensors, on)
              + (checks.finite(session, tensors, feed_dict)
                 or values.faults(entry['values'], run.precision))
              + checks.rate(ops, timing.mean, peak))
    if run.job:
        entry['scaling'], more, doubts = ranks.examine(run, session, timed_pass, timing, step_stats)
        faults, cautions = ranks.of_all_ranks(run.job, faults + more, cautions + doubts)
    entry['warnings'] = [caution._asdict() for caution in cautions]
    entry['faults'] = faults             # only now: an entry without this key was not checked


@contextlib.contextmanager
def _device_and_job(args, timer, build) -> Iterator[Tuple[device.Device, Any]]:
    """Chooses the device, joins the job if there is one, and prints both."""
    rank = launch.current()
    if rank:
        launch.pin(rank, args.device)
    on = device.choose(args.device)
    timer.end('device')
    with joined(rank, on, build.__module__, options(args)) as job:
        if job:
            timer.end('Horovod')
        report.print_device(on, job)
        yield on, job
