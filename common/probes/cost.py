"""The work of a step: FLOP, their rate, the share of the device's peak, bytes copied to the host.

The peak of a GPU that is not in the table FP32_PER_SM is unknown; it is not guessed.
"""
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from common import graph, text
from common.cautions import Caution

# float32 multiply-adds per clock and SM, by compute capability. CUDA C++ Programming Guide: to 7.x
# the table 'Throughput of Native Arithmetic Instructions' (release 10), from 8.0 on the number of
# FP32 cores in the section of each capability (release 12.9). A new capability is a line to add.
FP32_PER_SM = {
    (3, 0): 192, (3, 2): 192, (3, 5): 192, (3, 7): 192,  # Kepler
    (5, 0): 128, (5, 2): 128, (5, 3): 128,               # Maxwell
    (6, 0): 64,                                          # Pascal: Tesla P100
    (6, 1): 128, (6, 2): 128,                            # Pascal: GeForce 10, Tesla P4 and P40
    (7, 0): 64, (7, 2): 64,                              # Volta
    (7, 5): 64,                                          # Turing
    (8, 0): 64,                                          # Ampere: A100
    (8, 6): 128, (8, 7): 128,                            # Ampere: GeForce 30, A10, A40, Orin
    (8, 9): 128,                                         # Ada
    (9, 0): 128,                                         # Hopper
    (10, 0): 128, (10, 3): 128,                          # Blackwell: B200, B300
    (12, 0): 128, (12, 1): 128,                          # Blackwell: GeForce 50, GB10
}


COPY_STEPS = 3                       # of each kind, whose fastest counts
MAX_COPY_SHARE = 0.1                 # of a step; with more a caution is given


def of_pass(ops: Sequence[Any], tensors: Sequence[Any], mean_s: float, peak: Optional[float],
            fetch: str) -> Dict[str, Any]:
    """Returns keys of a pass in the record: its FLOP and their rate, what is copied to the host,
    and the optional layers that ran, by which published networks differ.

    Args:
        ops: the operations that the pass needs.
        tensors: the tensors that it computes.
        mean_s: the mean duration of a step, in seconds.
        peak: the device's FLOP/s in the precision of the pass; None if it is unknown.
        fetch: --fetch.
    """
    flops = sum(map(graph.flops, ops))
    return {'flops': flops, 'flops_per_s': flops / mean_s,
            'share_of_peak': flops / mean_s / peak if peak else None,
            'fetched_bytes': sum(map(graph.size, tensors)) if fetch == 'tensors' else 0,
            'layers_that_run': graph.layers_that_run(tensors)}


def copy_share(session: Any, target: Any, feed_dict: Optional[Dict],
               clock: Callable[[], float] = time.perf_counter) -> float:
    """Returns the share of a step in which its results are copied to the host: from untimed steps
    with and without the copy, after one in which TensorFlow optimises the graph."""
    fastest_s = []
    for fetch in 'tensors', 'ops':
        durations_s = []
        for _ in range(1 + COPY_STEPS):
            start_s = clock()
            session.run(graph.fetches(target, fetch), feed_dict=feed_dict)
            durations_s.append(clock() - start_s)
        fastest_s.append(min(durations_s[1:]))
    return max(0.0, 1 - fastest_s[1] / fastest_s[0])


def cautions(entry: Dict[str, Any]) -> List[Caution]:
    """Returns the caution that a pass spends much of its time on copying, if it does."""
    share = entry['copy_share'] or 0
    return [Caution('copy', 'copying its results (%s) to the host takes %.0f %% of the step, as in '
                    'the chapter: --fetch ops times the computation alone' % (
                        text.size(entry['fetched_bytes']), 100 * share))
            ] * (share > MAX_COPY_SHARE)


def peak_flops(compute_capability: Tuple[int, int], sms: int,
               max_sm_clock_mhz: Optional[float]) -> Optional[float]:
    """Returns the float32 FLOP/s of all FP32 cores at the highest clock (a multiply-add is 2 FLOP).

    NVML's maximum SM clock is the highest that the GPU can be set to, which on GeForce cards is
    above the boost clock of the data sheet (GTX 1080: about 1.9 against 1.733 GHz): the peak is an
    upper bound that a warm GPU does not sustain, and the share of it is rather too low.

    Args:
        compute_capability: such as (6, 1).
        sms: number of multiprocessors: CUDA's attribute MULTIPROCESSOR_COUNT.
        max_sm_clock_mhz: the highest SM clock in MHz.

    Returns:
        FLOP/s, or None where the capability is not in the table or the clock is unknown.
    """
    cores = FP32_PER_SM.get(compute_capability)
    return 2e6 * cores * sms * max_sm_clock_mhz if cores and max_sm_clock_mhz else None
