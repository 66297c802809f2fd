"""What tests/test_horovod.py has horovodrun start: AlexNet, and on rank 1 a fault.

    horovodrun -np 2 python -m tests.horovod_worker FAULT FOLDER [flags]
"""
import os
import signal
import sys
import time

import numpy

import alexnet_benchmark
from common import benchmark, tf1
from common.horovod import join as distributed
from common.machine import session
from common.tf1 import tf

RANK = int(os.environ['HOROVOD_RANK'])
FAULTY_STEP = 4


def at_a_step(action):
    """Rank 1 does it between two steps."""
    slowest, seen = distributed.Exchange.slowest, []

    def in_between(exchange, seconds):
        seen.append(seconds)
        if RANK == 1 and len(seen) == FAULTY_STEP:
            action()
        return slowest(exchange, seconds)
    distributed.Exchange.slowest = in_between


def fail():
    raise session.Exhausted('no memory is left')


def replace_averaged(change):
    averaged = distributed.Group.averaged
    distributed.Group.averaged = lambda group, gradients, parameters: change(
        gradients, averaged(group, gradients, parameters))


def keep_gradients(folder):
    """Writes what each rank has after the pass: its own gradients, the averaged, the variables."""
    measure = benchmark.measure

    def then_keep(run, probes, session, one, log):
        measure(run, probes, session, one, log)
        if one.own:
            images, = [variable for variable in tf.global_variables()
                       if variable not in tf.trainable_variables()]
            for name, fetched in [('own', one.own), ('averaged', one.target), ('images', [images]),
                                  ('variables', tf.trainable_variables())]:
                numpy.savez(os.path.join(folder, '%s-%d.npz' % (name, RANK)),
                            *session.run(fetched))
    benchmark.measure = then_keep


def main(fault, folder, *flags):
    flags = list(flags)
    if fault == 'none':
        keep_gradients(folder)
    elif fault == 'never arrives' and RANK == 1:
        time.sleep(600)
    elif fault == 'dies':
        at_a_step(lambda: os.kill(os.getpid(), signal.SIGKILL))
    elif fault == 'freezes':
        at_a_step(lambda: os.kill(os.getpid(), signal.SIGSTOP))
    elif fault == 'hangs':
        distributed.BEAT_S = 1
        at_a_step(lambda: time.sleep(600))
    elif fault == 'fails':
        at_a_step(fail)
    elif fault == 'other options' and RANK == 1:
        flags += ['--batch_size', '2']
    elif fault == 'other version' and RANK == 1:
        tf1.VERSION = '1.15.9'
    elif fault == 'other gradients' and RANK == 1:
        replace_averaged(lambda own, averaged: [2 * one for one in averaged])
    elif fault == 'no allreduce':
        replace_averaged(lambda own, averaged: [tf.identity(one) for one in own])
    return alexnet_benchmark.main(flags)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
