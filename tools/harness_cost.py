"""What the harness itself costs: time_tensorflow_run against a bare loop of session.run.

    python -m tools.harness_cost [--device {auto,gpu,cpu}] [--json PATH]

Both run in one process and alternate, on two targets: an operation that does nothing, where the
cost of a step is plainest, and the forward pass of AlexNet at batch size 32, which it is a share
of. On a GPU that NVML knows, AlexNet is also run with the telemetry thread and without it;
elsewhere the thread samples the fake GPU of the tests, which costs Python's part of it.
"""
import argparse
import contextlib
import io
import json
import statistics
import sys
import time

import alexnet_benchmark
from common.machine import device
from common.probes import gpu as telemetry
from common.tf1 import tf
from common.timing import time_tensorflow_run
from tests import fake_nvml


def bare(session, target, steps):
    """Seconds per step of a loop that does nothing but run and read the clock once at each end."""
    start = time.perf_counter()
    for _ in range(steps):
        session.run(target)
    return (time.perf_counter() - start) / steps


def harness(session, target, steps):
    """Seconds per step of time_tensorflow_run, printing included."""
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        time_tensorflow_run(session, target, 'Forward', num_batches=steps, num_steps_burn_in=0)
        return (time.perf_counter() - start) / steps


def watched(session, target, steps, monitor):
    """Seconds per step of the bare loop beside the telemetry thread."""
    with telemetry.Watch(monitor):
        return bare(session, target, steps)


def alternate(rounds, first, second):
    """Runs both `rounds` times in turn, each first every second time; returns the median of the
    differences second - first and of first, in seconds per step."""
    differences, firsts = [], []
    for i in range(rounds):
        one, other = (first(), second()) if i % 2 else reversed((second(), first()))
        differences.append(other - one)
        firsts.append(one)
    return statistics.median(differences), statistics.median(firsts)


def main(argv=None):
    """Measures, prints and, with --json, writes the costs; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=['auto', 'gpu', 'cpu'], default='auto')
    parser.add_argument('--json', metavar='PATH')
    args = parser.parse_args(argv)
    chosen = device.choose(args.device)
    monitor = telemetry.open_gpu(chosen.gpu.pci_bus_id)[0] if chosen.gpu else None
    real = monitor is not None
    if not real:
        monitor = telemetry.Monitor(fake_nvml.FakeNvml(), 'gpu')

    with tf.Graph().as_default():
        images = tf.Variable(tf.random_normal([32, 224, 224, 3], stddev=1e-1), trainable=False)
        pool5, _ = alexnet_benchmark.inference(images)
        nothing, forward = tf.no_op(), pool5.op
        with device.open_session(chosen) as session:
            session.run(tf.global_variables_initializer())
            bare(session, nothing, 1000)
            bare(session, forward, 5)
            cost_s, _ = alternate(40, lambda: bare(session, nothing, 1000),
                                  lambda: harness(session, nothing, 1000))
            watch_s, step_s = alternate(20, lambda: bare(session, forward, 5),
                                        lambda: watched(session, forward, 5, monitor))
    found = {'device': chosen.name, 'tensorflow': tf.__version__,
             'harness_s_per_step': cost_s, 'alexnet_forward_s': step_s,
             'harness_share_of_alexnet': cost_s / step_s,
             'telemetry': 'NVML' if real else 'fake GPU',
             'telemetry_share_of_alexnet': watch_s / step_s}
    print('Device: %s' % chosen.sentence)
    print('time_tensorflow_run adds %.1f microseconds to a step: %.4f %% of a forward step of '
          'AlexNet, batch size 32' % (1e6 * cost_s, 100 * cost_s / step_s))
    print('The telemetry thread (%s) moves that step by %+.2f %%'
          % (found['telemetry'], 100 * watch_s / step_s))
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(found, file, indent=1)
            file.write('\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
