"""The results of `suite peers` as a table, with notes about the peers.

This module does not import TensorFlow.
"""
import functools
import itertools
import math
import statistics
from typing import Any, Dict, List, Optional, Sequence, Tuple

from suite.pairs import NO_DIFFERENCE
from suite.peers.contenders import OURS

# By network and peer: what the peer computes differently. The GFLOP of both are in the table.
DROPOUT = 'no dropout in Forward, where ours draws its random numbers and keeps all'
AVERAGES = 'the training step updates the moving averages, which ours does not'
DIFFERS = {
    ('alexnet', 'slim'): 'conv1 pads as VALID: 54 x 54 outputs, ours 56 x 56, and fc6 has 26 '
                         'million weights, ours 38; conv4 has 384 kernels; the fully connected '
                         'layers are convolutions; ' + DROPOUT,
    ('alexnet', 'torchvision'): 'conv1 pads by 2: 55 x 55 outputs, ours 56 x 56; ' + DROPOUT,
    ('vgg16', 'slim'): 'the fully connected layers are convolutions; no ReLU on fc8; logits, not '
                       'the likeliest class; ' + DROPOUT,
    ('vgg16', 'keras'): 'no dropout; no ReLU on fc8; logits, not the likeliest class',
    ('vgg16', 'torchvision'): 'no ReLU on fc8; logits, not the likeliest class; ' + DROPOUT,
    ('inception_v3', 'keras'): 'no auxiliary classifier, no dropout',
    ('inception_v3', 'torchvision'): 'gammas in batch norm; ' + AVERAGES,
    ('resnet_v2', 'timm'): 'the stride sits in the first unit of a block; no biases; ' + AVERAGES,
}


MIN_ROUNDS = 6                       # all 5 signs agree by chance in 6 % of the cases

CONTROL_NOTE = (
    'The control is our network once more, in processes of its own: its ratio should be 1. "ours '
    'is slower" stands only where the whole interval of a peer is above both 1 and the interval of '
    'the control, "ours is faster" only where it is below both. The times are means over the '
    'rounds, of the fastest step of each; the ratio is the Hodges-Lehmann estimate of the ratios '
    'of the rounds.')


def ratio(ours_s: Sequence[float], peers_s: Sequence[float]) -> Tuple[float, float, float]:
    """Returns (ratio, low, high): ours / peer's over the rounds, and its 95 % interval.

    The ratio is the Hodges-Lehmann estimate, the median of the means of each two rounds, and the
    interval that of Wilcoxon's signed-rank test, both of the logarithms. In a mean, one round in
    which only one contender was disturbed would count by its size; here it counts as one of 20.
    The interval assumes that the logarithms scatter symmetrically.

    Args: the seconds by round of both, of the same rounds.

    Raises ValueError: there are fewer than MIN_ROUNDS.

    Source: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, 3rd edition, 3.2 and 3.3.
    """
    if len(ours_s) < MIN_ROUNDS:
        raise ValueError('%d rounds have no 95 %% interval, %d have' % (len(ours_s), MIN_ROUNDS))
    logs = [math.log(our / their) for our, their in zip(ours_s, peers_s)]
    means = sorted((one + other) / 2
                   for one, other in itertools.combinations_with_replacement(logs, 2))
    outside = signed_rank_limit(len(logs))
    return (math.exp(statistics.median(means)), math.exp(means[outside]),
            math.exp(means[-1 - outside]))


@functools.lru_cache(maxsize=None)
def signed_rank_limit(n: int) -> int:
    """Returns the critical value of Wilcoxon's signed-rank test of n differences, two-sided at 5 %:
    the largest W for which P(sum of the positive ranks <= W) is at most 2.5 % where either sign is
    as likely. n is at least MIN_ROUNDS."""
    ways = [1] + [0] * (n * (n + 1) // 2)                # to reach each sum
    for rank in range(1, n + 1):
        for total in reversed(range(rank, len(ways))):
            ways[total] += ways[total - rank]
    return sum(below <= 0.025 * 2 ** n for below in itertools.accumulate(ways)) - 1


def verdict(low: float, high: float, control: Optional[Sequence[float]] = None) -> str:
    """Returns the verdict for the interval (low, high) of our time divided by a peer's. `control`
    is the interval of the control; None for old records, which have no control."""
    control_low, control_high = control or (1, 1)
    if low > max(1, control_high):
        return 'ours is slower'
    if high < min(1, control_low):
        return 'ours is faster'
    return NO_DIFFERENCE


def entry_verdict(entry: Dict[str, Any], entries: Sequence[Dict[str, Any]]) -> str:
    """Returns the verdict of an entry of a record; the control is found in `entries`."""
    if entry['faults']:
        return 'INVALID'
    low, high = entry['ci95']
    if entry['peer'] == OURS:
        return 'control' if low <= 1 <= high else 'control, excludes 1'
    return verdict(low, high, next((
        other['ci95'] for other in entries if other['peer'] == OURS and all(
            other[key] == entry[key] for key in ('benchmark', 'info_string'))), None))


HEADINGS = ('network', 'pass', 'peer', 'ours, ms', 'peer, ms', 'ours / peer', '95 % interval',
            'verdict', 'GFLOP, ours', 'peer')


def table(entries: Sequence[Dict[str, Any]]) -> List[List[str]]:
    """Returns the rows of the table, its header first. The times are means of the rounds'
    fastest steps."""
    return [list(HEADINGS)] + [
        [one['benchmark'], one['info_string'],
         'control: ours again' if one['peer'] == OURS else one['peer']]
        + ['%.4g' % (1e3 * statistics.mean(one[key])) for key in ('ours_s', 'peer_s')]
        + ['%.3f' % one['ratio'], '%.3f to %.3f' % tuple(one['ci95']), entry_verdict(one, entries)]
        + ['%.1f' % (one[key] / 1e9) for key in ('ours_flops', 'peer_flops')] for one in entries]


def notes(entries: Sequence[Dict[str, Any]]) -> List[str]:
    """Returns the lines below the table: the control, the differences of the peers, the faults."""
    lines = [CONTROL_NOTE] if any(one['peer'] == OURS for one in entries) else []
    lines += ['%s, %s: %s' % (one['benchmark'], one['peer'], one['differs'])
              for one in entries if one['differs']]
    lines += ['INVALID: %s, %s: %s' % (one['benchmark'], one['info_string'], fault)
              for one in entries for fault in one['faults']]
    return list(dict.fromkeys(lines))
