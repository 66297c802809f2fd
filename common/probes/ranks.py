"""What a job of several processes is held against, and whether all gradients were averaged."""
from typing import Any, Dict, Iterable, List

from common import graph
from common.horovod import join as distributed
from common.probes import Found, Probe, Step
from common.timing import time_tensorflow_run
from common.workload import Pass, Run


class Ranks(Probe):
    """The steps of a job beside those of one process alone. It is the last probe: it adds the
    faults and cautions of the other ranks."""

    @staticmethod
    def wanted(run: Run) -> bool:
        return run.job is not None

    def describe(self) -> Found:
        return Found(cautions=self.run.job.cautions())

    def rewrite(self, passes: List[Pass]) -> List[Pass]:
        parameters = self.run.workload.parameters
        return [one._replace(target=self.run.job.averaged(one.target, parameters), own=one.target)
                if isinstance(one.target, list) else one for one in passes]

    def start(self, session: Any) -> Found:
        self.run.job.start(session)
        return Found()

    def after(self, step: Step) -> Found:
        job, one, args = self.run.job, step.one, self.run.args

        def time_run(*what):
            return time_tensorflow_run(*what, one.feed_dict, args.num_batches,
                                       args.num_steps_burn_in, after_step=self.run.after_step)

        averaged = one.target if one.own else []
        scaling = job.scaling(step.session, time_run, one.info_string, step.timing,
                              graph.fetches(one.own or one.target, args.fetch), averaged)
        scaling['images_per_s'] = job.job.size * args.batch_size / step.timing.mean
        scaling['allreduces'] = {'executed': executed_allreduces(step.step_stats),
                                 'graph': graph_allreduces(one.tensors)}
        faults = reduced(scaling['allreduces'], len(one.own or [])) + job.unequal(
            step.session, averaged, one.feed_dict)
        return job.with_the_others(step, Found({'scaling': scaling}, faults,
                                               distributed.doubts(scaling)))


def graph_allreduces(targets: Iterable[Any]) -> int:
    """Counts the allreduces that a run of `targets` needs by the graph."""
    return sum(op.type == 'HorovodAllreduce' for op in graph.needed_ops(targets))


def executed_allreduces(step_stats: Any) -> int:
    """Counts the allreduces that a traced step executed."""
    return sum(' = HorovodAllreduce(' in node.timeline_label for device in step_stats.dev_stats
               if graph.is_executor(device) for node in device.node_stats)


def reduced(allreduces: Dict[str, int], gradients: int) -> List[str]:
    """Each gradient was reduced, once: TensorFlow prunes an allreduce that is not fetched.
    `allreduces` are the 'executed' and those of the 'graph'."""
    if allreduces['executed'] == allreduces['graph'] == gradients:
        return []
    return ['the step executed %(executed)d allreduces, the graph has %(graph)d' % allreduces
            + ', and %d gradients are to be reduced' % gradients]
