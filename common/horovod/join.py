"""More than one process, by Horovod: data-parallel steps of the same graphs.

    horovodrun -np 4 python resnet_v2_benchmark.py

Being launched by horovodrun or mpirun is all that it takes; a plain run imports no Horovod. Each
process, a rank, has a GPU of its own and images of its own; the variables of the model are rank
0's. In a step each rank computes its gradients, and allreduces leave their average on all ranks.

All ranks start a step together, and its time is the slowest's: after each step, outside its time,
they tell each other how long it took. In the same run, by the same protocol, are timed the step
without the allreduce, and rank 0 alone while the others wait.

A rank that is lost ends the job, and is named on stderr: one that never comes after ARRIVAL_S; one
that dies at once; one that is frozen, or whose host is gone, after SILENT_S; one that hangs between
two steps after STALL_S; with what it takes to notice and to end the others, a minute more. (Horovod
0.28.1 has a check for stalled ranks, which over gloo says nothing and ends nothing.) Ranks hear of
each other through the key-value store of horovodrun. mpirun has none, and there Horovod's and
mpirun's own messages must do.
"""
import contextlib
import hashlib
import http.client
import importlib
import json
import os
import platform
import re
import statistics
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy

from common import graph, record, stats, tf1
from common.cautions import Caution, about
from common.machine import device
from common.machine.session import open_session
from common.probes import Found, Step
from common.tf1 import tf
from common.timing import Timing

ARRIVAL_S = 120                      # or HOROVOD_START_TIMEOUT
STALL_S = 300                        # or HOROVOD_STALL_SHUTDOWN_TIME_SECONDS: the longest step of
                                     # one process alone, for which the others wait
BEAT_S, SILENT_S = 10, 60
ANSWER_S = 5                         # to a roll call after an error
END_S = 45                           # gloo notices a process that is frozen after 30 s
POLL_S = 0.2
ENDED = 'ended'                      # the last beat

# A rank is a straggler if its median step, without the allreduce, takes so many times the median
# rank's: the whole job waits for it in every step.
STRAGGLER = 1.10

NO_SCRIPT = 'it starts processes of its own: horovodrun and mpirun start one of the four scripts'

LAUNCHERS = [                        # rank, size, local rank, local size
    ['HOROVOD_' + name for name in ('RANK', 'SIZE', 'LOCAL_RANK', 'LOCAL_SIZE')],
    ['OMPI_COMM_WORLD_' + name for name in ('RANK', 'SIZE', 'LOCAL_RANK', 'LOCAL_SIZE')]]


class Lost(Exception):
    """A rank died, hangs or never came; the text names it, and is empty where another rank says
    it."""


class Job(NamedTuple):
    """This process's place in a job, local: among those of its host."""
    rank: int
    size: int
    local_rank: int
    local_size: int


def launched(environment: Mapping[str, str] = os.environ) -> Optional[Job]:
    """Returns the place that the launcher gave to this process; None for a plain run."""
    for names in LAUNCHERS:
        if all(name in environment for name in names):
            return Job(*(int(environment[name]) for name in names))
    return None


def problem(args: Any) -> Optional[str]:
    """Returns which of the flags is of one process alone, and what to do; None if none is."""
    if args.precision != 'float32' or args.xla:
        return ('argument %s: not allowed with more than one process: the plain run beside it '
                'would be a job of its own' % ('--xla' if args.xla else '--precision'))
    if args.profile or args.trace:
        return ('argument %s: not allowed with more than one process: run the script by itself, or '
                "set HOROVOD_TIMELINE for Horovod's own trace"
                % ('--profile' if args.profile else '--trace'))
    return None


def pin(job: Job, asked: str) -> None:
    """Leaves to this process the GPU of its host that its local rank counts to; nothing changes for
    --device cpu, nor without a GPU.

    Raises device.Unusable: the host has fewer GPUs than processes.
    """
    given = os.environ.get('CUDA_VISIBLE_DEVICES')
    gpus = (list(map(str, range(device.count()))) if given is None
            else [gpu for gpu in given.split(',') if gpu])
    if asked == 'cpu' or not gpus:
        return
    if len(gpus) < job.local_size:
        raise device.Unusable(
            '%d processes were started on %s, which has %d GPU%s (CUDA_VISIBLE_DEVICES=%s): each '
            'needs one of its own. Start no more than that (-np, -H host:%d), or take --device cpu '
            'for CPU figures.' % (job.local_size, platform.node(), len(gpus), 's' * (len(gpus) > 1),
                                  'not set' if given is None else given, len(gpus)))
    os.environ['CUDA_VISIBLE_DEVICES'] = gpus[job.local_rank]


@contextlib.contextmanager
def joined(job: Optional[Job], on: device.Device, script: str, options: Dict[str, Any]
           ) -> Iterator[Optional['Group']]:
    """Takes part in the job in this block, which gets the Group; None for a plain run. Rank 0 alone
    prints to stdout.

    Args:
        job: this process's place; None for a plain run.
        on: what this process times.
        script: the file name of the benchmark.
        options: the flags as given.

    Raises:
        device.Unusable: there is no Horovod, or the ranks do not all run the same.
        Lost: a rank has not come, or was lost in the block.
    """
    if job is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        if job.rank:
            nowhere = stack.enter_context(open(os.devnull, 'w'))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        hvd = _horovod()
        here = _described(on, script, options)
        answers = roll_call(job, 'arrival', json.dumps(here), _seconds('HOROVOD_START_TIMEOUT',
                                                                       ARRIVAL_S))
        if answers is not None and len(answers) < job.size:
            raise Lost(_sentence(job, answers, 'did not arrive within %g s of rank %d: see what '
                                 'happened on its host' % (_seconds('HOROVOD_START_TIMEOUT',
                                                                    ARRIVAL_S), min(answers))))
        if answers is None:
            hvd.init()
            with tf.Graph().as_default(), open_session(on) as session:
                ranks = Exchange(hvd, session).gather(here)
        else:
            ranks = [json.loads(answers[rank]) for rank in range(job.size)]
        different = disagreement([one['same'] for one in ranks])
        if different:
            raise device.Unusable(different if job.rank == 0 else '')
        hvd.init()                                       # a second time it does nothing
        heart = stack.enter_context(_heart(job, hvd))
        try:
            yield Group(hvd, job, ranks)
        except tf.errors.OpError as error:
            if not any(word in error.message.lower() for word in ('horovod', 'gloo', 'nccl')):
                raise                                    # it is this rank's own
            if heart.lost:
                raise Lost('') from error                # it was said
            answers = roll_call(job, 'failure', '', ANSWER_S)
            if answers is None or len(answers) == job.size:
                raise
            raise Lost(_sentence(job, answers, 'is lost: it died or hangs (Horovod: %s)'
                                 % error.message.strip().split('\n')[0])) from error


class Exchange:
    """What the ranks tell each other, outside the timed steps. Its operations are added to the
    default graph, so that it must be made before the timing; each call is one of all ranks."""
    entered = 0                                          # calls of this process, begun or done

    def __init__(self, hvd: Any, session: tf.Session):
        self._session = session
        self.rows: List[List[float]] = []                # by step, the duration of each rank
        with tf.device('/cpu:0'):
            self._seconds = tf.placeholder(tf.float64, [None], name='exchange/seconds')
            self._bytes = tf.placeholder(tf.uint8, [None], name='exchange/bytes')
            self._all_seconds = hvd.allgather(self._seconds, name='exchange/all_seconds')
            self._all_bytes = hvd.allgather(self._bytes, name='exchange/all_bytes')

    def slowest(self, seconds: float) -> float:
        """Tells this rank's duration; returns the longest of all ranks, and keeps them all."""
        Exchange.entered += 1
        self.rows.append(self._session.run(self._all_seconds,
                                           {self._seconds: [seconds]}).tolist())
        return max(self.rows[-1])

    def gather(self, value: Any) -> List[Any]:
        """Returns the value of each rank, in their order. The value is one of JSON."""
        Exchange.entered += 1
        text = json.dumps(value).encode()
        lengths = self._session.run(self._all_seconds, {self._seconds: [float(len(text))]})
        joint = self._session.run(self._all_bytes, {
            self._bytes: numpy.frombuffer(text, numpy.uint8)}).tobytes()
        ends = numpy.cumsum(lengths).astype(int).tolist()
        return [json.loads(joint[end - int(length):end].decode())
                for length, end in zip(lengths, ends)]


class Group:
    """The ranks of a job, as one of them sees it; `ranks` are their host and device, in order."""

    def __init__(self, hvd: Any, job: Job, ranks: List[Dict[str, Any]]):
        self._hvd, self.job = hvd, job
        self.ranks = [{'host': one['host'], 'device': one['device']} for one in ranks]
        self.exchange: Optional[Exchange] = None
        self.on_gpu = ranks[0]['same']['device'] == 'gpu'

    @property
    def processes(self) -> Dict[str, Any]:
        """How many ranks, where, and what reduces their gradients: of the record."""
        hosts = [one['host'] for one in self.ranks]
        return {'size': self.job.size, 'hosts': {host: hosts.count(host) for host in hosts},
                'horovod': _version(),
                'backend': 'nccl' if self.on_gpu and self._hvd.nccl_built() else
                           'gloo' if self._hvd.gloo_enabled() else 'mpi'}

    def cautions(self) -> List[Caution]:
        """Returns what is said before the figures."""
        hosts, backend = self.processes['hosts'], self.processes['backend']
        if self.job.size == 1:
            return [Caution('alone', 'this job has one process: its efficiency and communication '
                            'are noise and the cost of Horovod itself; run the script without '
                            'horovodrun')]
        if self.on_gpu and backend != 'nccl':
            return [Caution('backend', 'the gradients of the GPUs are copied to the host and '
                            'reduced by %s: this Horovod was built without NCCL '
                            '(docs/scaling.md)' % backend)]
        if not self.on_gpu and max(hosts.values()) > 1:
            return [Caution('shared', 'up to %d processes share the CPU of one host: the '
                            'efficiency shows that, and not how the network scales; use one '
                            'process for each host' % max(hosts.values()))]
        return []

    def averaged(self, gradients: List[Any], parameters: List[Any]) -> List[Any]:
        """Adds an allreduce of each gradient, under the name of its variable; returns the averages.

        The allreduce is not stateful: one that is not fetched is pruned, and nothing is reduced.
        """
        return [self._hvd.allreduce(gradient, op=self._hvd.Average,
                                    name='allreduce/' + parameter.op.name)
                for gradient, parameter in zip(gradients, parameters)]

    def start(self, session: tf.Session) -> None:
        """Gives each rank the variables of rank 0's model, initialised before, and makes the
        exchange. The images of AlexNet and VGG are no variable of the model: each rank has its
        own."""
        model = tf.trainable_variables() + [variable for variable in tf.model_variables()
                                            if variable not in tf.trainable_variables()]
        Exchange.entered += 1
        session.run([tf.assign(variable, self._hvd.broadcast(
            variable, 0, name='broadcast/' + variable.op.name)).op for variable in model])
        self.exchange = Exchange(self._hvd, session)
        self.exchange.slowest(0.0)                       # the first step, too, starts together

    def with_the_others(self, step: Step, found: Found) -> Found:
        """Returns what was found, with the faults and cautions of the other ranks: all ranks end
        with the same exit code. A caution about the steps, which all share, stands once."""
        mine = step.faults + list(found.faults)
        cautious = step.entry['warnings'] + [one._asdict() for one in found.cautions]
        texts = [one['text'] for one in cautious]
        faults, cautions = list(found.faults), list(found.cautions)
        for rank, (theirs, warnings) in enumerate(self.exchange.gather([mine, cautious])):
            if rank != self.job.rank:
                faults += ['rank %d: %s' % (rank, fault) for fault in theirs]
                cautions += [Caution(one['kind'], 'rank %d: %s' % (rank, one['text']))
                             for one in warnings if one['text'] not in texts]
        return Found(found.fields, faults, cautions)

    def scaling(self, session: tf.Session, time_run: Callable[..., Timing], info_string: str,
                timing: Timing, own: Any, averaged: Sequence[Any]) -> Dict[str, Any]:
        """Times what the job is held against: the step without the allreduce, and rank 0 alone.

        Args:
            session: of this rank, in which the job was timed.
            time_run: takes a session, a target and an info_string, and times the run with the
                protocol of the job.
            info_string: the name of the pass.
            timing: the job's, from the steps that the exchange saw last.
            own: what session.run fetches for this rank's own part: the forward pass, or the
                gradients before the allreduce.
            averaged: the averaged gradients; empty for a forward pass.

        Returns:
            The scaling of a record's result (see record.schema.json).
        """
        columns = self._last(len(timing.seconds))
        without = None
        if averaged:
            without = time_run(session, own, info_string + ' without the allreduce')
            own_columns = self._last(len(without.seconds))
        else:
            own_columns = columns
        alone = time_run(session if self.job.rank == 0 else _Waiting(), own,
                         info_string + ' of one process alone')
        return summary([dict(rank=rank, **one) for rank, one in enumerate(self.ranks)], timing,
                       columns, own_columns, without, alone,
                       {'reduced_bytes': sum(map(graph.size, averaged))})

    def unequal(self, session: tf.Session, averaged: Sequence[Any],
                feed_dict: Optional[Dict[Any, Any]]) -> List[str]:
        """The averaged gradients are the same on every rank, bit by bit. Runs them once."""
        if not averaged:
            return []
        digest = hashlib.sha256()
        for value in session.run(list(averaged), feed_dict):
            digest.update(value.tobytes())
        digests = self.exchange.gather(digest.hexdigest())
        others = [rank for rank, one in enumerate(digests) if one != digests[0]]
        if not others or self.job.rank:                  # rank 0 says it for all
            return []
        return ["the averaged gradients of %s are not rank 0's" % _ranks(others)]

    def _last(self, number):
        """The last steps of the exchange, by rank."""
        return [list(column) for column in zip(*self.exchange.rows[-number:])]


class _Waiting:
    """The session of a rank that waits: it runs nothing, and the exchange after each step lasts
    until the others have done theirs."""

    def run(self, target: Any, feed_dict: Optional[Dict[Any, Any]] = None) -> None:
        pass


def summary(ranks: List[Dict[str, Any]], timing: Timing, columns: List[List[float]],
            own_columns: List[List[float]], without: Optional[Timing], alone: Timing,
            reduced: Dict[str, Any]) -> Dict[str, Any]:
    """Returns the scaling of a record's result but for its images / s.

    Args:
        ranks: 'rank', 'host' and 'device' of each.
        timing: the job's steps, each the slowest rank's.
        columns: the durations of the same steps of each rank, in seconds.
        own_columns: those without the allreduce; in a forward pass the same.
        without: the steps without the allreduce, each the slowest rank's; None for a forward pass.
        alone: the steps of rank 0 alone.
        reduced: what is known of the allreduces.
    """
    ranks = [dict(one, mean_s=statistics.mean(column), own_mean_s=statistics.mean(own),
                  samples_s=column)
             for one, column, own in zip(ranks, columns, own_columns)]
    return {'processes': len(ranks), 'alone': _figures(alone),
            'without_allreduce': without and _figures(without),
            'efficiency': alone.mean / timing.mean,
            'communication_share': 1 - without.mean / timing.mean if without else None,
            **reduced, 'ranks': ranks, 'stragglers': stragglers(ranks, own_columns)}


def doubts(scaling: Dict[str, Any]) -> List[Caution]:
    """Returns what common.stats says of the steps that the job is held against; that they are few
    is said of the job."""
    return [Caution(warning.kind, '%s: %s' % (name, warning.text))
            for name, key in (('without the allreduce', 'without_allreduce'),
                              ('one process alone', 'alone')) if scaling[key]
            for warning in about(scaling[key]['samples_s']) if warning.kind != 'few_steps']


def stragglers(ranks: List[Dict[str, Any]], own_columns: List[List[float]]) -> List[str]:
    """Returns a sentence for each rank that the others wait for: its own steps, in which it waits
    for nobody, are longer than the median rank's by more than STRAGGLER."""
    medians = [statistics.median(column) for column in own_columns]
    usual = statistics.median_low(medians)
    return ['rank %d on %s (%s) is a straggler: its own part of the median step takes %.3f ms, '
            "%.2f times the median rank's (limit: %.2f), and all wait for it; see what else runs "
            'there, its clock and its temperature, or leave it out'
            % (one['rank'], one['host'], one['device'], 1e3 * median, median / usual, STRAGGLER)
            for one, median in zip(ranks, medians) if median > STRAGGLER * usual]


def disagreement(described: List[Dict[str, Any]]) -> Optional[str]:
    """Returns a sentence that names what is not the same on all ranks; None if all is. `described`
    has a dict of each rank, in their order."""
    parts = []
    for name in described[0]:
        by_value: Dict[str, List[int]] = {}
        for rank, one in enumerate(described):
            by_value.setdefault(str(one.get(name)), []).append(rank)
        if len(by_value) > 1:
            parts.append('%s is %s' % (name, ', '.join(
                '%s on %s' % (value, _ranks(ranks)) for value, ranks in by_value.items())))
    if not parts:
        return None
    return ('The ranks do not run the same: %s. Start them with the same options, from the same '
            'commit and the same environment.' % '; '.join(parts))


def _described(on, script, options):
    """What this rank says of itself; `same` is what all must agree in."""
    return {'host': platform.node(), 'device': on.name,
            'same': dict({'the script': script, 'TensorFlow': tf1.VERSION,
                          'Horovod': _version(), 'numpy': numpy.__version__,
                          'Python': platform.python_version(), 'the commit': record.commit(),
                          'device': on.kind},
                         **{'--' + name: value for name, value in options.items()
                            if name != 'device'})}


def _horovod():
    """Horovod for TensorFlow. Raises device.Unusable where it cannot be imported."""
    try:
        return importlib.import_module('horovod.tensorflow')
    except Exception as error:       # a build for another TensorFlow: an undefined symbol, or worse
        why = str(error).strip().split('\n')[0]
    raise device.Unusable(
        'More than one process needs Horovod, and it cannot be imported (%s): give the command '
        '`make horovod RUNTIME=%s`, which builds it into the environment of that runtime '
        '(docs/scaling.md).' % (why, tf1.RUNTIME)) from None


def _version():
    return importlib.import_module('horovod').__version__


# Who is there

def roll_call(job: Job, name: str, words: str, within_s: float) -> Optional[Dict[int, str]]:
    """Says `words` to the other ranks, and hears theirs, until all have answered or for within_s.

    Returns the words by rank, those that did not answer left out; None without horovodrun's store.
    """
    if 'HOROVOD_GLOO_RENDEZVOUS_ADDR' not in os.environ:
        return None
    answers, end_s = {job.rank: words}, time.monotonic() + within_s
    with contextlib.suppress(OSError):                   # horovodrun ends, and its ranks with it
        _ask('PUT', name, job.rank, words)
        while len(answers) < job.size and time.monotonic() < end_s:
            for rank in set(range(job.size)) - set(answers):
                said = _ask('GET', name, rank)
                if said is not None:
                    answers[rank] = said
            time.sleep(POLL_S if len(answers) < job.size else 0)
    return answers


def _ask(method, name, rank, words=None):
    """Puts words into the store of horovodrun, or gets what a rank has put there, None if nothing.
    The names are this module's own: the store keeps Horovod's under others."""
    connection = http.client.HTTPConnection(
        os.environ['HOROVOD_GLOO_RENDEZVOUS_ADDR'],
        int(os.environ['HOROVOD_GLOO_RENDEZVOUS_PORT']), timeout=POLL_S * 25)
    try:
        connection.request(method, '/benchmark_%s/%d' % (name, rank),
                           words and words.encode() or (b'' if method == 'PUT' else None))
        answer = connection.getresponse()
        said = answer.read().decode()
        return said if answer.status == 200 else None
    except http.client.HTTPException as error:
        raise OSError(str(error)) from None
    finally:
        connection.close()


class _Heart:
    """Says every BEAT_S that this rank lives, and in how many exchanges it was; listens to the next
    rank, and ends the job if that one is lost: silent for SILENT_S, or behind for STALL_S."""

    def __init__(self, job: Job, hvd: Any):
        self._job, self._hvd, self._other = job, hvd, (job.rank + 1) % job.size
        self._stopped = threading.Event()
        self.lost = False

    def listen(self) -> None:
        """Beats until `stop`, or until the next rank is lost."""
        stall_s = _seconds('HOROVOD_STALL_SHUTDOWN_TIME_SECONDS', STALL_S)
        number, last = 0, None
        spoke_s = level_s = time.monotonic()             # when the next rank last did, and was
        while not self._stopped.wait(BEAT_S):
            number, heard = number + 1, last
            with contextlib.suppress(OSError):
                _ask('PUT', 'beat', self._job.rank, '%d %d' % (number, Exchange.entered))
                heard = _ask('GET', 'beat', self._other)
            now_s = time.monotonic()
            if heard != last or heard == ENDED:
                spoke_s = now_s
            count = _count(heard)
            if count is None or count >= Exchange.entered or count != _count(last):
                level_s = now_s
            last = heard
            if now_s - spoke_s > SILENT_S:
                return self._end('nothing was heard of it for %g s' % SILENT_S)
            if now_s - level_s > stall_s:
                return self._end('it was waited for for %g s' % stall_s)

    def _end(self, why):
        """Names the rank, and has Horovod fail what the ranks wait in, so that they end in order;
        if that does not come through, as from NCCL, this process ends as it is."""
        self.lost = True
        print('rank %d: rank %d is lost: %s. The job ends.' % (self._job.rank, self._other, why),
              file=sys.stderr, flush=True)
        threading.Thread(target=self._hvd.shutdown, daemon=True).start()
        if not self._stopped.wait(END_S):
            os._exit(3)

    def stop(self) -> None:
        """No more beats, and none is missed."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            _ask('PUT', 'beat', self._job.rank, ENDED)


def _count(words):
    """In how many exchanges a rank was that said this; None where it said no such thing."""
    return int(words.split()[1]) if words and words != ENDED else None


@contextlib.contextmanager
def _heart(job, hvd):
    """A heart that beats in this block; still where nobody can hear it."""
    heart = _Heart(job, hvd)
    if 'HOROVOD_GLOO_RENDEZVOUS_ADDR' not in os.environ or job.size == 1:
        yield heart
        return
    thread = threading.Thread(target=heart.listen, daemon=True)
    thread.start()
    try:
        yield heart
    finally:
        heart.stop()
        thread.join(BEAT_S)


def _sentence(job, answers, what):
    """Names the ranks that did not answer; the first of those that did says it for all."""
    if job.rank != min(answers):
        return ''
    return '%s %s.' % (_ranks([rank for rank in range(job.size) if rank not in answers]), what)


def _ranks(ranks):
    return 'rank%s %s' % ('s' * (len(ranks) > 1), ', '.join(map(str, ranks)))


def _seconds(variable, default):
    """The value of a variable of Horovod; the default where it is not set, or no number."""
    value = os.environ.get(variable, '')
    return float(value) if re.match(r'\d+(\.\d+)?$', value) else default


def _figures(timing):
    return {'mean_s': timing.mean, 'sd_s': timing.sd,
            'ci95_s': stats.summarise(timing.seconds).ci95_s, 'samples_s': list(timing.seconds)}
