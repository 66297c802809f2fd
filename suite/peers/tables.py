"""The results of `suite peers`: the ratio, the verdict, the table and its notes.

This module does not import TensorFlow.
"""
import functools
import itertools
import math
import statistics
from typing import Any, Dict, List, Sequence, Tuple

from suite.peers.contenders import OURS, SLIM

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
# No verdict where the peer has other layers, or where its FLOP differ by more than MAX_FLOP.
OTHER_LAYERS = ('alexnet', SLIM), ('vgg16', SLIM)
MAX_FLOP = 0.005

MIN_ROUNDS = 6                       # all 5 signs agree by chance in 6 % of the cases
MARGIN = 0.01                        # of the ratio: what counts as equally fast
MARGIN_NOTE = (
    'Ours is slower if the whole interval is above 1.01, faster if it is below 0.99; the two are '
    'equivalent if it lies from 0.99 to 1.01, otherwise it is undecided. The control is our '
    'network once more, in processes of its own. The times are means over the rounds, of the '
    'fastest step of each; the ratio is the Hodges-Lehmann estimate of the ratios of the rounds.')


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
    means = sorted((first + second) / 2
                   for first, second in itertools.combinations_with_replacement(logs, 2))
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


def verdict(entry: Dict[str, Any]) -> str:
    """Returns the verdict of an entry of a record, from its rounds (see MARGIN_NOTE)."""
    if entry['faults']:
        return 'INVALID'
    if entry['peer'] == OURS:
        return 'control'
    more = entry['peer_flops'] / entry['ours_flops'] - 1
    if abs(more) > MAX_FLOP:
        return 'none: %+.1f %% FLOP' % (100 * more)
    if (entry['benchmark'], entry['peer']) in OTHER_LAYERS:
        return 'none: other layers'
    _, low, high = ratio(entry['ours_s'], entry['peer_s'])
    if low > 1 + MARGIN:
        return 'ours is slower'
    if high < 1 - MARGIN:
        return 'ours is faster'
    return 'equivalent' if 1 - MARGIN <= low and high <= 1 + MARGIN else 'undecided'


HEADINGS = ('network', 'pass', 'peer', 'ours, ms', 'peer, ms', 'ours / peer', '95 % interval',
            'verdict', 'GFLOP, ours', 'peer')


def table(entries: Sequence[Dict[str, Any]]) -> List[List[str]]:
    """Returns the rows of the table, its header first. The times are means of the rounds'
    fastest steps; ratio, interval and verdict are computed from the rounds."""
    rows = [list(HEADINGS)]
    for entry in entries:
        value, *interval = ratio(entry['ours_s'], entry['peer_s'])
        rows.append(
            [entry['benchmark'], entry['info_string'],
             'control: ours again' if entry['peer'] == OURS else entry['peer']]
            + ['%.4g' % (1e3 * statistics.mean(entry[key])) for key in ('ours_s', 'peer_s')]
            + ['%.3f' % value, '%.3f to %.3f' % tuple(interval), verdict(entry)]
            + ['%.1f' % (entry[key] / 1e9) for key in ('ours_flops', 'peer_flops')])
    return rows


def notes(entries: Sequence[Dict[str, Any]]) -> List[str]:
    """Returns the lines below the table: what the verdicts mean, the controls that are wider than
    the margin, the differences of the peers, the faults."""
    lines, wide = [MARGIN_NOTE], []
    for entry in entries:
        _, low, high = ratio(entry['ours_s'], entry['peer_s'])
        if entry['peer'] == OURS and not 1 - MARGIN <= low <= high <= 1 + MARGIN:
            wide.append('%s %s (%.3f to %.3f)' % (
                entry['benchmark'], entry['info_string'], low, high))
    if wide:
        lines.append('The interval of the control is not within the margin of 1 %% in %s: there a '
                     'difference of that size may come from the method.' % ', '.join(wide))
    lines += ['%s, %s: %s' % (entry['benchmark'], entry['peer'], entry['differs'])
              for entry in entries if entry['differs']]
    lines += ['INVALID: %s, %s: %s' % (entry['benchmark'], entry['info_string'], fault)
              for entry in entries for fault in entry['faults']]
    return list(dict.fromkeys(lines))
