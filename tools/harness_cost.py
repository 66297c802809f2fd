"""Measures the cost of the harness: time_tensorflow_run compared with a bare loop of session.run.

    python -m tools.harness_cost [--device {auto,gpu,cpu}] [--json PATH]

Both alternate in one process, on an operation that does nothing, because the cost is too small to
measure on a real step. It is printed as a share of a forward step of AlexNet at batch
size 32. On a GPU, that step is also timed with the thread that samples NVML and without it.
"""
import argparse
import contextlib
import io
import statistics
import sys
import time

import alexnet_benchmark
from common import files
from common.machine import device, session
from common.probes import gpu
from common.tf1 import tf
from common.timing import time_tensorflow_run


def bare(opened, target, steps):
    """Returns the seconds a step takes in a loop that only runs it."""
    start = time.perf_counter()
    for _ in range(steps):
        opened.run(target)
    return (time.perf_counter() - start) / steps


def harness(opened, target, steps):
    """Returns the seconds a step takes in time_tensorflow_run, printing included."""
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.perf_counter()
        time_tensorflow_run(opened, target, 'Forward', num_batches=steps, num_steps_burn_in=0)
        return (time.perf_counter() - start) / steps


def sampled(opened, target, steps, nvml):
    """Returns the seconds a step takes in the bare loop while a thread samples NVML."""
    with gpu.Sampler(nvml):
        return bare(opened, target, steps)


def take_turns(rounds, first, second):
    """Calls both functions `rounds` times, each of them first in every second round. Returns the
    median of second() - first(), and the median of first()."""
    differences, firsts = [], []
    for i in range(rounds):
        first_s, second_s = (first(), second()) if i % 2 else reversed((second(), first()))
        differences.append(second_s - first_s)
        firsts.append(first_s)
    return statistics.median(differences), statistics.median(firsts)


def measure(chosen, batch_size=32, rounds=20, steps=1000):
    """Returns the costs on a device.Device, in seconds and as shares of a forward step of AlexNet;
    that of the NVML thread only on a GPU."""
    with tf.Graph().as_default():
        images = tf.Variable(tf.random_normal([batch_size, 224, 224, 3], stddev=1e-1),
                             trainable=False)
        pool5, _ = alexnet_benchmark.inference(images)
        nothing, forward = tf.no_op(), pool5.op
        with session.open_session(chosen) as opened:
            opened.run(tf.global_variables_initializer())
            bare(opened, nothing, steps)
            bare(opened, forward, 5)
            cost_s, _ = take_turns(2 * rounds, lambda: bare(opened, nothing, steps),
                                   lambda: harness(opened, nothing, steps))
            step_s = statistics.median(bare(opened, forward, 5) for _ in range(rounds))
            costs = {'device': chosen.name, 'tensorflow': tf.__version__,
                     'harness_s_per_step': cost_s, 'alexnet_forward_s': step_s,
                     'harness_share_of_alexnet': cost_s / step_s}
            nvml = gpu.open_gpu(chosen.gpu.pci_bus_id)[0] if chosen.gpu else None
            if nvml:
                more_s, step_s = take_turns(rounds, lambda: bare(opened, forward, 5),
                                            lambda: sampled(opened, forward, 5, nvml))
                costs['nvml_share_of_alexnet'] = more_s / step_s
                nvml.close()
    return costs


def main(argv=None):
    """Measures, prints and, with --json, writes the costs; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', choices=['auto', 'gpu', 'cpu'], default='auto')
    parser.add_argument('--json', metavar='PATH')
    args = parser.parse_args(argv)
    chosen = device.choose(args.device)
    costs = measure(chosen)
    print('Device: %s' % chosen.sentence)
    print('time_tensorflow_run adds %.1f microseconds to a step: %.4f %% of a forward step of '
          'AlexNet, batch size 32' % (1e6 * costs['harness_s_per_step'],
                                      100 * costs['harness_share_of_alexnet']))
    if 'nvml_share_of_alexnet' in costs:
        print('The thread that samples NVML changes that step by %+.2f %%'
              % (100 * costs['nvml_share_of_alexnet']))
    if args.json:
        files.write(args.json, files.json_text(costs) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
