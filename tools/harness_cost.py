"""Measures what the harness adds to a step: time_tensorflow_run beside a bare loop of session.run.

    python -m tools.harness_cost [auto | gpu | cpu]

Both take turns in one process, on an operation that does nothing, because the cost is too small to
be seen in a real step. On a GPU, the thread that samples NVML is measured too, on a forward step of
AlexNet at batch size 32. stdout gets the costs as JSON: seconds, and shares of that step.
"""
import argparse
import contextlib
import io
import statistics
import time

import alexnet_benchmark
from common import files
from common.machine import device, session
from common.probes import gpu
from common.tf1 import tf
from common.timing import time_tensorflow_run


def bare(opened, target, steps):
    for _ in range(steps):
        opened.run(target)


def harness(opened, target, steps):
    with contextlib.redirect_stdout(io.StringIO()):
        time_tensorflow_run(opened, target, 'Forward', num_batches=steps, num_steps_burn_in=0)


def added(steps, plain, other, rounds=20):
    """Returns the median of the seconds that a step takes longer in other() than in plain(), and
    its median in plain(). Each function runs first in every second round."""
    seconds = {plain: [], other: []}
    for order in [(plain, other), (other, plain)] * (rounds // 2):
        for run in order:
            start = time.perf_counter()
            run()
            seconds[run].append((time.perf_counter() - start) / steps)
    more_s = [other_s - plain_s for plain_s, other_s in zip(seconds[plain], seconds[other])]
    return statistics.median(more_s), statistics.median(seconds[plain])


def measure(chosen, batch_size=32, steps=1000):
    """Returns the costs on a device.Device; that of NVML only where it can be read."""
    with tf.Graph().as_default():
        images = tf.Variable(tf.random_normal([batch_size, 224, 224, 3]), trainable=False)
        with contextlib.redirect_stdout(io.StringIO()):  # the chapter's lines
            nothing, forward = tf.no_op(), alexnet_benchmark.inference(images)[0].op
        with session.open_session(chosen) as opened:
            opened.run(tf.global_variables_initializer())
            bare(opened, nothing, steps)
            bare(opened, forward, 5)
            cost_s, _ = added(steps, lambda: bare(opened, nothing, steps),
                              lambda: harness(opened, nothing, steps))
            with gpu.opened(chosen.gpu) as (nvml, _):
                def sampled():
                    with gpu.Sampler(nvml):
                        bare(opened, forward, 5)
                more_s, step_s = added(5, lambda: bare(opened, forward, 5), sampled)
    return dict({'device': chosen.name, 'tensorflow': tf.__version__, 'harness_s_per_step': cost_s,
                 'alexnet_forward_s': step_s, 'harness_share_of_alexnet': cost_s / step_s},
                **{'nvml_share_of_alexnet': more_s / step_s} if nvml else {})


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('device', nargs='?', choices=['auto', 'gpu', 'cpu'], default='auto')
    print(files.json_text(measure(device.choose(parser.parse_args().device))))
