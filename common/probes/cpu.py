"""Measures how busy other programs kept the CPU before a CPU run."""
import platform
from typing import Any, Dict, List

from common.cautions import Caution
from common.machine import host
from common.probes import Found, Probe
from common.workload import Run

# A share of the CPUs that this process may use: an idle machine's services take 1 or 2 %, one busy
# program on 8 CPUs 12 %.
MAX_BUSY = 0.10


class Cpu(Probe):
    """How busy other programs kept the CPU while this process started."""

    @staticmethod
    def wanted(run: Run) -> bool:
        return run.device.kind == 'cpu'

    def describe(self) -> Found:
        before = host.cpu_load()
        return Found({'environment': {'cpu_before': before}},
                     cautions=[] if self._is_shared() else busy(before))

    def _is_shared(self):
        """Whether other processes of the job start on this host at the same time."""
        return self.run.job and self.run.job.processes['hosts'].get(platform.node(), 0) > 1


def busy(before: Dict[str, Any]) -> List[Caution]:
    """Returns a 'busy' caution where host.cpu_load's dict says that other programs were running."""
    busy_cpus, usable = before['busy_cpus'], before['usable_cpus']
    if busy_cpus is None or busy_cpus <= MAX_BUSY * usable:
        return []
    return [Caution('busy', 'other programs kept %.1f of the %d CPUs busy before the start (an '
                    'idle machine: at most %.1f): stop them (top lists them) and run again'
                    % (busy_cpus, usable, MAX_BUSY * usable))]
