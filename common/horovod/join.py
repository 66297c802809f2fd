"""Joins a job: imports Horovod, waits for all ranks, and checks that they run the same."""
import contextlib
import importlib
import json
import os
import platform
import re
import time
from typing import Any, Dict, Iterator, List, Optional

import numpy

from common import conditions, record, text, tf1
from common.horovod import launch, liveness
from common.horovod.exchange import Exchange
from common.machine.device import Device
from common.machine.session import open_session
from common.stop import Stop
from common.tf1 import tf


class Job:
    """A job, as one of its ranks sees it.

    Attributes:
        hvd: the module horovod.tensorflow, initialised.
        rank: the launch.Rank of this process.
        ranks: {'host', 'device'} of each rank, in order.
        on_gpu: whether the ranks use GPUs.
        store, watchdog: of common/horovod/liveness.py; no store under mpirun.
        exchange: made by ranks.start once there is a session.
    """

    def __init__(self, hvd: Any, rank: launch.Rank, described: List[Dict[str, Any]],
                 store: Any = None, watchdog: Optional[liveness.Watchdog] = None):
        self.hvd, self.rank, self.store, self.watchdog = hvd, rank, store, watchdog
        self.ranks = [{key: its[key] for key in ('host', 'device')} for its in described]
        self.on_gpu = described[0]['same']['device'] == 'gpu'
        self.exchange: Optional[Exchange] = None

    @property
    def processes(self) -> Dict[str, Any]:
        """`processes` of the record: the number of ranks, their hosts, and the library that reduces
        their gradients."""
        hosts = [place['host'] for place in self.ranks]
        return {'size': self.rank.size, 'hosts': {host: hosts.count(host) for host in hosts},
                'horovod': _version(),
                'backend': 'nccl' if self.on_gpu and self.hvd.nccl_built() else
                           'gloo' if self.hvd.gloo_enabled() else 'mpi'}


@contextlib.contextmanager
def naming_the_lost(job: Optional[Job]) -> Iterator[None]:
    """Raises Stop instead of an error of the block that the loss of another rank has caused, after
    asking the other ranks, for ANSWER_S. Its text is empty on all ranks but those that name the
    lost one. Does nothing where `job` is None."""
    try:
        yield
    except tf.errors.OpError as error:
        if not job or not job.store or not re.search('horovod|gloo|nccl', error.message.lower()):
            raise
        # Ctrl-C reaches the ranks one after the other. Where the others have ended first, it comes
        # while they are asked, and ends this rank as interrupted.
        lost = job.watchdog.lost or ''
        answers = liveness.roll_call(job.store, job.rank, 'failure', lost, liveness.ANSWER_S)
        named = list(filter(None, answers.values()))     # by the watchdogs
        if named:
            raise Stop(lost or (named[0] if job.rank.rank == 0 else '')) from error
        if len(answers) == job.rank.size:                # this rank itself failed
            raise
        raise Stop(liveness.absent(
            job.rank, answers,
            'is lost: it died or hangs (Horovod: %s)' % text.reason(error.message))) from error


@contextlib.contextmanager
def joined(rank: Optional[launch.Rank], device: Device, script: str, options: Dict[str, Any]
           ) -> Iterator[Optional[Job]]:
    """Takes part in the job for the duration of the block. Only rank 0 prints to stdout in it.

    Args:
        rank: of this process; None for a run of one process.
        device: the device.Device that this process times.
        script: the file name of the benchmark.
        options: the flags as given.

    Yields:
        The Job; None for a run of one process.

    Raises:
        Stop: Horovod cannot be imported, or the ranks do not all run the same, or a rank did not
            come.
    """
    if rank is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        if rank.rank:
            devnull = stack.enter_context(open(os.devnull, 'w'))
            stack.enter_context(contextlib.redirect_stdout(devnull))
        hvd, store = _horovod(), liveness.store()
        described = _gather(hvd, rank, store, device, _describe(device, script, options))
        different = disagreement([its['same'] for its in described])
        if different:
            raise Stop(different if rank.rank == 0 else '')
        hvd.init()                                       # a second call does nothing
        watchdog = stack.enter_context(liveness.Watchdog(
            store, rank, hvd.shutdown, lambda: Exchange.entered, time.monotonic()))
        yield Job(hvd, rank, described, store, watchdog)


def disagreement(described: List[Dict[str, Any]]) -> Optional[str]:
    """Returns a sentence that lists the differences between the ranks; None if there are none.
    `described` has a dict for each rank, in order, with the same keys."""
    parts = []
    for name in described[0]:
        by_value: Dict[str, List[int]] = {}
        for rank, its in enumerate(described):
            by_value.setdefault(str(its[name]), []).append(rank)
        if len(by_value) > 1:
            parts.append('%s is %s' % (name, ', '.join(
                '%s on %s' % (value, launch.in_words(ranks)) for value, ranks in by_value.items())))
    if not parts:
        return None
    return ('The ranks do not run the same: %s. Start them with the same options, from the same '
            'commit and the same environment.' % '; '.join(parts))


def _gather(hvd, rank, store, device, description):
    """The description of each rank, in order. Raises Stop if some do not come."""
    if store is None:                                    # mpirun: ask Horovod itself
        hvd.init()
        with tf.Graph().as_default(), open_session(device) as session:
            return Exchange(hvd, session).gather(description)
    within_s = liveness.seconds('HOROVOD_START_TIMEOUT', liveness.ARRIVAL_S)
    answers = liveness.roll_call(store, rank, 'arrival', json.dumps(description), within_s)
    if len(answers) < rank.size:
        raise Stop(liveness.absent(
            rank, answers, 'did not arrive within %g s of rank %d: see what happened on its host'
            % (within_s, min(answers))))
    return [json.loads(answers[other]) for other in range(rank.size)]


def _describe(device, script, options):
    """The description of this rank that it sends at the start; `same` must be equal on all
    ranks: the flags, and the conditions of the list that a job has in common."""
    environment = {'tensorflow': tf1.VERSION, 'cuda': tf1.NEEDS.cuda, 'cudnn': tf1.NEEDS.cudnn,
                   'runtime': tf1.RUNTIME, 'python': platform.python_version(),
                   'numpy': numpy.__version__, 'commit': record.commit(),
                   'device': {'kind': device.kind}, 'variables': {}}
    values = conditions.of({'environment': environment, 'options': {},
                            'processes': {'horovod': _version()}})
    same = {name: value for name, value in values.items() if conditions.BY_NAME[name].in_job}
    return {'host': platform.node(), 'device': device.name,
            'same': dict(same, script=script, device=device.kind,
                         **{'--' + name: value for name, value in options.items()
                            if name != 'device'})}


def _horovod():
    """The module horovod.tensorflow. Raises Stop if it cannot be imported."""
    try:
        return importlib.import_module('horovod.tensorflow')
    except Exception as error:       # ImportError, or what a build for another TensorFlow raises
        why = text.reason(str(error))
    raise Stop(
        'More than one process needs Horovod, and it cannot be imported (%s): give the command '
        '`make horovod RUNTIME=%s`, which builds it into the environment of that runtime, and '
        'start the job with its Python (docs/scaling.md).' % (why, tf1.RUNTIME)) from None


def _version():
    return importlib.import_module('horovod').__version__
