"""The story of one run: device, graph, session, timed passes, checks, record."""
import argparse
import contextlib
from typing import Any, Callable, Dict, Iterator, List, Tuple

from common import graph, record, report
from common.horovod import launch
from common.horovod.join import joined
from common.machine import device, session
from common.probes import (
    Probe,
    Step,
    checks,
    cost,
    cpu,
    gpu,
    layers,
    memory,
    precision,
    ranks,
    settings,
    xla,
)
from common.startup import Startup
from common.tf1 import tf
from common.timing import time_tensorflow_run
from common.workload import Pass, Run, Workload, options

__all__ = ['Pass', 'Run', 'Workload', 'measure', 'run']

# What is observed besides the time; common/probes/__init__.py says when each method is called. The
# first may refuse the run; precision runs the float32 baseline; the last collects what the others
# found on all ranks.
PROBES = [settings.Settings, gpu.Gpu, cpu.Cpu, precision.Precision, xla.Xla, checks.Checks,
          cost.Cost, memory.Memory, layers.Layers, ranks.Ranks]


def run(args: argparse.Namespace, build: Callable[[argparse.Namespace], Workload]) -> int:
    """Times the passes of a network in turn, prints the chapter's lines and a summary of each,
    checks that the figures are valid, and writes the record to args.json after each pass.

    Args:
        args: the parsed flags of a script.
        build: adds the network to the default graph and returns what will be timed.

    Returns:
        The exit code: 0, or 1 if a validity check failed.

    Raises:
        KeyboardInterrupt, Stop, liveness.Lost, OSError, tf.errors.OpError: cli.main turns them
        into exit codes. The passes that were finished before are in the record.
    """
    timer = Startup()                                    # it began with the process
    timer.end('import')
    with _device_and_job(args, timer, build) as (on, job), tf.Graph().as_default():
        run = Run(args, on, job, timer, build(args))
        timer.end('graph')
        log = record.new(run)
        with record.kept(log, args.json), _entered(run, log) as probes:
            report.print_start(log)
            passes = run.workload.passes
            for probe in probes:                         # a job averages its gradients
                passes = probe.rewrite(passes)
            with session.opened(run, passes) as opened:
                opened.run(tf.global_variables_initializer())
                for probe in probes:
                    record.add(log, probe.start(opened))
                timer.end('initialisation')
                for timed_pass in passes:
                    measure(run, probes, opened, timed_pass, log)
                    report.print_latest(log)
                    record.keep(log, args.json)
            log['status'] = 'finished'
        report.print_summary(log, args.json)
    return int(any(entry['faults'] for entry in log['results']))


def measure(run: Run, probes: List[Probe], session: Any, timed_pass: Pass, log: Dict[str, Any]
            ) -> None:
    """Times one pass, lets the probes examine it in untimed steps, and adds it to the record."""
    args, target = run.args, graph.fetches(timed_pass.target, run.args.fetch)
    for probe in probes:
        probe.before(session, timed_pass)
    with record.unfinished(run, log) as finished:
        with contextlib.ExitStack() as stack:
            for probe in probes:
                stack.enter_context(probe.watching())
            finished.append(time_tensorflow_run(
                session, target, timed_pass.info_string, timed_pass.feed_dict, args.num_batches,
                args.num_steps_burn_in, after_step=run.after_step))
        timing, = finished
        record.add_first_steps(log, run.timer, timing)
        entry, faults = record.result(run, timing), []
        log['results'].append(entry)
    step = Step(run, session, timed_pass, target, timing, graph.needed_ops(timed_pass.tensors),
                graph.trace(session, target, timed_pass.feed_dict), log, entry, faults)
    for probe in probes:
        findings = probe.after(step)
        entry.update(findings.fields)
        entry['warnings'] += [caution._asdict() for caution in findings.cautions]
        faults += findings.faults
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


@contextlib.contextmanager
def _entered(run: Run, log: Dict[str, Any]) -> Iterator[List[Probe]]:
    """Enters the probes that apply to the run, and adds their descriptions to the record."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(probe(run)) for probe in PROBES if probe.wanted(run)]
        for probe in probes:
            record.add(log, probe.describe())
        yield probes
