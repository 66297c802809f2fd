"""The results of `suite peers`: the ratio, the verdict, the table and its notes.

This module does not import TensorFlow.
"""
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

# By the number of rounds: how many means of two rounds lie outside of the interval at each end, the
# critical values of Wilcoxon's signed-rank test, two-sided at 5 %. Fewer rounds have none: all 5
# signs agree by chance in 6 % of the cases.
OUTSIDE = {6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 11: 10, 12: 13, 13: 17, 14: 21, 15: 25, 16: 29, 17: 34,
           18: 40, 19: 46, 20: 52}
MIN_ROUNDS = min(OUTSIDE)
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

    Args: the seconds by round of both, of the same rounds, as many as OUTSIDE has.

    Source: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, 3rd edition, 3.2 and 3.3.
    """
    logs = [math.log(our / their) for our, their in zip(ours_s, peers_s)]
    means = sorted((first + second) / 2
                   for first, second in itertools.combinations_with_replacement(logs, 2))
    outside = OUTSIDE[len(logs)]
    return (math.exp(statistics.median(means)), math.exp(means[outside]),
            math.exp(means[-1 - outside]))


def verdict(entry: Dict[str, Any]) -> str:
    """Returns the verdict of an entry of a record, from its interval (see MARGIN_NOTE)."""
    if entry['faults']:
        return 'INVALID'
    if entry['peer'] == OURS:
        return 'control'
    more = entry['peer_flops'] / entry['ours_flops'] - 1
    if abs(more) > MAX_FLOP:
        return 'none: %+.1f %% FLOP' % (100 * more)
    if (entry['benchmark'], entry['peer']) in OTHER_LAYERS:
        return 'none: other layers'
    low, high = entry['ci95']
    if low > 1 + MARGIN:
        return 'ours is slower'
    if high < 1 - MARGIN:
        return 'ours is faster'
    return 'equivalent' if 1 - MARGIN <= low and high <= 1 + MARGIN else 'undecided'


def table(entries: Sequence[Dict[str, Any]]) -> List[List[str]]:
    """Returns the rows of the table, its header first. The times are means of the rounds' fastest
    steps; the verdict is that of today's rules."""
    rows = [['network', 'pass', 'peer', 'ours, ms', 'peer, ms', 'ours / peer', '95 % interval',
             'verdict', 'GFLOP, ours', 'peer']]
    for entry in entries:
        rows.append(
            [entry['benchmark'], entry['info_string'],
             'control: ours again' if entry['peer'] == OURS else entry['peer']]
            + ['%.4g' % (1e3 * statistics.mean(entry[key])) for key in ('ours_s', 'peer_s')]
            + ['%.3f' % entry['ratio'], '%.3f to %.3f' % tuple(entry['ci95']), verdict(entry)]
            + ['%.1f' % (entry[key] / 1e9) for key in ('ours_flops', 'peer_flops')])
    return rows


def notes(entries: Sequence[Dict[str, Any]]) -> List[str]:
    """Returns the lines below the table: what the verdicts mean, the controls that are wider than
    the margin, the differences of the peers, the faults."""
    lines = [MARGIN_NOTE]
    wide = ['%s %s (%.3f to %.3f)' % (entry['benchmark'], entry['info_string'], *entry['ci95'])
            for entry in entries if entry['peer'] == OURS
            and max(abs(bound - 1) for bound in entry['ci95']) > MARGIN]
    if wide:
        lines.append('The interval of the control is not within the margin of 1 %% in %s: there a '
                     'difference of that size may come from the method.' % ', '.join(wide))
    lines += ['%s, %s: %s' % (entry['benchmark'], entry['peer'], entry['differs'])
              for entry in entries if entry['differs']]
    lines += ['INVALID: %s, %s: %s' % (entry['benchmark'], entry['info_string'], fault)
              for entry in entries for fault in entry['faults']]
    return list(dict.fromkeys(lines))
