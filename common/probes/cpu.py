"""Measures how busy other programs kept the CPU before a CPU run."""
import platform
from typing import Any, Dict, List, Optional

from common.cautions import Caution

# A share of the CPUs that this process may use: an idle machine's services take 1 or 2 %, one busy
# program on 8 CPUs 12 %.
MAX_BUSY = 0.10


def busy(before: Optional[Dict[str, Any]], job: Any = None) -> List[Caution]:
    """Returns a 'busy' caution where host.cpu_load's dict says that other programs were running;
    none in a GPU run (None), nor where other processes of the job start on this host."""
    if before is None or job and job.processes['hosts'].get(platform.node(), 0) > 1:
        return []
    busy_cpus, usable = before['busy_cpus'], before['usable_cpus']
    if busy_cpus is None or busy_cpus <= MAX_BUSY * usable:
        return []
    return [Caution('busy', 'other programs kept %.1f of the %d CPUs busy before the start (an '
                    'idle machine: at most %.1f): stop them (top lists them) and run again'
                    % (busy_cpus, usable, MAX_BUSY * usable))]
