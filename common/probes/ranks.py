"""Jobs of several processes: averages their gradients, and measures how well the job scales.

Three kinds of steps are timed in the same run, by the same protocol:

    the job's step           all ranks compute their gradients and average them by allreduces
    without the allreduce    all ranks compute their gradients and keep them
    one process alone        rank 0 computes its gradients while the others wait

In all of them the ranks start a step together. After each step, outside its time, they exchange
their durations, and the slowest rank's is recorded. A forward pass has no gradients, so its second
kind is the same as the first and is not timed.

    scaling efficiency       the time of one process alone / the time of the job's step
    share of communication   1 - the time without the allreduce / the time of the job's step
"""
import functools
import hashlib
import statistics
from typing import Any, Dict, Iterable, List, Optional, Tuple

from common import graph, stats
from common.cautions import Caution, about
from common.horovod.exchange import Exchange
from common.horovod.join import Job
from common.horovod.launch import in_words
from common.tf1 import tf
from common.timing import Timing, time_tensorflow_run
from common.workload import Pass, Run

# A rank is a straggler if its median step without the allreduce is more than STRAGGLER times that
# of the median rank: the whole job waits for it in every step.
STRAGGLER = 1.10


def averaged(job: Job, passes: List[Pass], parameters: List[Any]) -> List[Pass]:
    """Returns the passes, with the gradients averaged over all ranks as the target, and the
    gradients of this rank as `own`.

    Each gradient has an allreduce named after its variable. TensorFlow prunes allreduces that are
    not fetched; `not_reduced` checks that all ran.
    """
    def reduced(gradients):
        return [job.hvd.allreduce(gradient, op=job.hvd.Average,
                                  name='allreduce/' + parameter.op.name)
                for gradient, parameter in zip(gradients, parameters)]

    return [timed_pass._replace(target=reduced(timed_pass.target), own=timed_pass.target)
            if isinstance(timed_pass.target, list) else timed_pass for timed_pass in passes]


def start(job: Job, session: tf.Session) -> None:
    """Gives every rank the variables of rank 0's model, and makes the job's exchange. The images of
    AlexNet and VGG are variables too, but not broadcast: each rank has its own."""
    model = tf.trainable_variables() + [variable for variable in tf.model_variables()
                                        if variable not in tf.trainable_variables()]
    Exchange.entered += 1                                # the broadcast waits for all ranks too
    session.run([tf.assign(variable, job.hvd.broadcast(
        variable, 0, name='broadcast/' + variable.op.name)).op for variable in model])
    job.exchange = Exchange(job.hvd, session)
    job.exchange.slowest(0.0)                            # so that the first step starts together


def examine(run: Run, session: tf.Session, timed_pass: Pass, timing: Timing, step_stats: Any
            ) -> Tuple[Dict[str, Any], List[str], List[Caution]]:
    """Times the other two kinds of steps and checks the allreduces.

    Args:
        timed_pass, timing, step_stats: the job's pass, its timed steps, and a trace of one more.

    Returns:
        `scaling` of the pass in the record (record.schema.json), faults, cautions.
    """
    args, job, name = run.args, run.job, timed_pass.info_string
    time_run = functools.partial(
        time_tensorflow_run, feed_dict=timed_pass.feed_dict, num_batches=args.num_batches,
        num_steps_burn_in=args.num_steps_burn_in, after_step=job.exchange.slowest)
    columns = own_columns = job.exchange.last(args.num_batches)
    own, without = graph.fetches(timed_pass.own or timed_pass.target, args.fetch), None
    if timed_pass.own:
        without = time_run(session, own, name + ' without the allreduce')
        own_columns = job.exchange.last(args.num_batches)
    alone = time_run(_IdleSession() if job.rank.rank else session, own,
                     name + ' of one process alone')

    gradients = timed_pass.target if timed_pass.own else []
    allreduces = {'executed': executed_allreduces(step_stats),
                  'graph': graph_allreduces(timed_pass.tensors)}
    scaling = summary(job.ranks, timing, columns, own_columns, without, alone)
    scaling.update(images_per_s=job.rank.size * args.batch_size / timing.mean,
                   reduced_bytes=sum(map(graph.size, gradients)), allreduces=allreduces)
    faults = (not_reduced(allreduces, len(gradients))
              + _unequal(job, session, gradients, timed_pass.feed_dict))
    return scaling, faults, stragglers(job.ranks, own_columns) + cautions_after(scaling)


def _unequal(job, session, gradients, feed_dict):
    """Returns a fault unless the averaged gradients are equal on all ranks, bit by bit. Computes
    them once more."""
    if not gradients:
        return []
    digest = hashlib.sha256()
    for value in session.run(list(gradients), feed_dict):
        digest.update(value.tobytes())
    digests = job.exchange.gather(digest.hexdigest())
    others = [rank for rank, its_digest in enumerate(digests) if its_digest != digests[0]]
    if not others or job.rank.rank:                      # only rank 0 reports it
        return []
    return ["the averaged gradients of %s are not rank 0's" % in_words(others)]


def of_all_ranks(job: Job, faults: List[str], cautions: List[Caution]
                 ) -> Tuple[List[str], List[Caution]]:
    """Returns the faults and cautions of this rank, and then those of the other ranks, each with
    its rank, so that all ranks end with the same exit code. Cautions that this rank has too are
    left out: they are about durations that all ranks share."""
    texts = [caution.text for caution in cautions]
    gathered = job.exchange.gather([faults, [list(caution) for caution in cautions]])
    for rank, (its_faults, its_cautions) in enumerate(gathered):
        if rank != job.rank.rank:
            faults = faults + ['rank %d: %s' % (rank, fault) for fault in its_faults]
            cautions = cautions + [Caution(kind, 'rank %d: %s' % (rank, text))
                                   for kind, text in its_cautions if text not in texts]
    return faults, cautions


class _IdleSession:
    """The session of a rank that waits while rank 0 is timed alone: it runs nothing, and the
    exchange after each step waits for rank 0."""

    def run(self, target: Any, feed_dict: Optional[Dict[Any, Any]] = None) -> None:
        pass


def cautions_before(job: Job) -> List[Caution]:
    """Returns why the figures of this job will not show how the network scales."""
    hosts, backend = job.processes['hosts'], job.processes['backend']
    if job.rank.size == 1:
        return [Caution(
            'alone', 'this job has one process: its efficiency and communication are noise and the '
            'cost of Horovod itself; run the script without horovodrun')]
    if job.on_gpu and backend != 'nccl':
        return [Caution(
            'backend', 'the gradients of the GPUs are copied to the host and reduced by %s: this '
            'Horovod was built without NCCL (docs/scaling.md)' % backend)]
    if not job.on_gpu and max(hosts.values()) > 1:
        return [Caution(
            'shared', 'up to %d processes share the CPU of one host: the efficiency shows that, '
            'and not how the network scales; use one process for each host' % max(hosts.values()))]
    return []


def cautions_after(scaling: Dict[str, Any]) -> List[Caution]:
    """Returns cautions about the other two kinds of steps."""
    return [Caution(caution.kind, '%s: %s' % (name, caution.text))
            for name, key in (('without the allreduce', 'without_allreduce'),
                              ('one process alone', 'alone')) if scaling[key]
            for caution in about(scaling[key]['samples_s'])]


def summary(ranks: List[Dict[str, Any]], timing: Timing, columns: List[List[float]],
            own_columns: List[List[float]], without: Optional[Timing], alone: Timing
            ) -> Dict[str, Any]:
    """Returns the keys of `scaling` in the record that are about durations.

    Args:
        ranks: {'host', 'device'} of each rank, in order.
        timing: the job's steps, each as long as on the slowest rank.
        columns: for each rank its durations of the same steps, in seconds.
        own_columns: for each rank its durations without the allreduce; those of the same steps in a
            forward pass.
        without: the steps without the allreduce, each as long as on the slowest rank; None for a
            forward pass.
        alone: the steps of rank 0 alone.
    """
    ranks = [dict(place, rank=rank, mean_s=statistics.mean(column), samples_s=column,
                  own_mean_s=statistics.mean(own))
             for rank, (place, column, own) in enumerate(zip(ranks, columns, own_columns))]
    return {'processes': len(ranks), 'alone': _durations(alone),
            'without_allreduce': without and _durations(without),
            'efficiency': alone.mean / timing.mean,
            'communication_share': 1 - without.mean / timing.mean if without else None,
            'ranks': ranks}


def stragglers(ranks: List[Dict[str, Any]], own_columns: List[List[float]]) -> List[Caution]:
    """Returns a caution for each straggler: a rank whose median step, without the allreduce, is
    more than STRAGGLER times that of the median rank. The arguments are as in summary()."""
    medians = [statistics.median(column) for column in own_columns]
    usual = statistics.median_low(medians)
    return [Caution(
        'straggler', 'rank %d on %s (%s) is a straggler: its own part of the median step takes '
        "%.3f ms, %.2f times the median rank's (limit: %.2f), and all wait for it; see what else "
        'runs there, its clock and its temperature, or leave it out'
        % (rank, ranks[rank]['host'], ranks[rank]['device'], 1e3 * median, median / usual,
           STRAGGLER)) for rank, median in enumerate(medians) if median > STRAGGLER * usual]


def graph_allreduces(targets: Iterable[Any]) -> int:
    """Counts the allreduces that a run of `targets` needs by the graph."""
    return sum(op.type == 'HorovodAllreduce' for op in graph.needed_ops(targets))


def executed_allreduces(step_stats: Any) -> int:
    """Counts the allreduces that a traced step executed."""
    return sum(' = HorovodAllreduce(' in node.timeline_label for device in step_stats.dev_stats
               if graph.is_executor(device) for node in device.node_stats)


def not_reduced(allreduces: Dict[str, int], gradients: int) -> List[str]:
    """Returns a fault unless each gradient was reduced once. `allreduces` has the number that was
    'executed' and the number in the 'graph'."""
    if allreduces['executed'] == allreduces['graph'] == gradients:
        return []
    return ['the step executed %d allreduces, the graph has %d, and %d gradients are to be reduced'
            % (allreduces['executed'], allreduces['graph'], gradients)]


def _durations(timing):
    return {'mean_s': timing.mean, 'sd_s': timing.sd,
            'ci95_s': stats.summarise(timing.seconds).ci95_s, 'samples_s': list(timing.seconds)}
