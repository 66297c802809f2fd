"""The program that tests/test_horovod.py starts with horovodrun: AlexNet, and on rank 1 a fault.

    horovodrun -np 2 python -m tests.horovod_worker FAULT FOLDER [flags]
"""
import os
import signal
import sys
import time

import numpy

if sys.argv[1] == 'never arrives' and os.environ['HOROVOD_RANK'] == '1':
    time.sleep(600)                  # as if it had not been started

import alexnet_benchmark
from common import benchmark
from common.horovod import liveness
from common.horovod.exchange import Exchange
from common.probes import ranks
from common.tf1 import tf

RANK = int(os.environ['HOROVOD_RANK'])
FAULTY_STEP = 3


def at_a_step(action):
    """Rank 1 does it between two steps."""
    slowest = Exchange.slowest

    def in_between(exchange, seconds):
        if RANK == 1 and len(exchange.rows) == FAULTY_STEP:
            action()
        return slowest(exchange, seconds)
    Exchange.slowest = in_between


def leave_out_the_allreduces():
    """Replaces the averaged gradients by the rank's own."""
    averaged = ranks.averaged
    ranks.averaged = lambda *args: [
        its._replace(target=list(map(tf.identity, its.own))) if its.own else its
        for its in averaged(*args)]


def keep_gradients(folder):
    """Writes what each rank has after the pass: its own gradients, the averaged, the variables."""
    measure = benchmark.measure

    def then_keep(run, session, timed_pass, *rest):
        measure(run, session, timed_pass, *rest)
        if timed_pass.own:
            images = [v for v in tf.global_variables() if v not in tf.trainable_variables()]
            for name, fetched in [('own', timed_pass.own), ('averaged', timed_pass.target),
                                  ('images', images), ('variables', tf.trainable_variables())]:
                numpy.savez(os.path.join(folder, '%s-%d.npz' % (name, RANK)),
                            *session.run(fetched))
    benchmark.measure = then_keep


def main(fault, folder, *flags):
    flags = list(flags)
    if fault == 'none':
        keep_gradients(folder)
    elif fault == 'never arrives':
        os.environ['HOROVOD_START_TIMEOUT'] = '3'
    elif fault == 'dies':
        at_a_step(lambda: os.kill(os.getpid(), signal.SIGKILL))
    elif fault == 'freezes':
        # Short, but long for a busy machine: gloo's threads answer each other every millisecond.
        os.environ['HOROVOD_GLOO_TIMEOUT_SECONDS'] = '10'
        liveness.ANSWER_S = 1        # nobody else is there to answer
        at_a_step(lambda: os.kill(os.getpid(), signal.SIGSTOP))
    elif fault == 'hangs':
        liveness.BEAT_S = 1
        if RANK == 0:                # rank 1 has patience, so that a slow rank 0 is never named
            os.environ['HOROVOD_STALL_SHUTDOWN_TIME_SECONDS'] = '2'
        at_a_step(lambda: time.sleep(600))
    elif fault == 'no allreduce':
        leave_out_the_allreduces()
    return alexnet_benchmark.main(flags)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
