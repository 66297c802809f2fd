"""The four networks: one row each, with its variants, their flags and parameter counts.

Everything that lists networks or variants takes them from here: the flags of the scripts, the plan
and the tables of suite/, the container's entry, the check of the parameter count. To add a network,
add its script NAME_benchmark.py, its row and its tests. This module does not import TensorFlow.
"""
import argparse
from typing import Any, Dict, List, NamedTuple


class Variant(NamedTuple):
    """The name to show, the flags that select the variant, its trainable parameters, biases and
    batch norm's beta and gamma included, and whether the chapter times it."""
    title: str
    flags: Dict[str, Any]
    parameters: int
    in_chapter: bool = False


class Network(NamedTuple):
    """A network of the chapter. The first of `variants`, by their names in a record, is the
    chapter's own."""
    title: str
    section: str
    variants: Dict[str, Variant]


NETWORKS = {
    'alexnet': Network('AlexNet', '6.1', {       # figure 6-5: 64, 192, 384, 256, 256 kernels
        'lrn': Variant('AlexNet with LRN', {'lrn': True, 'fc': False}, 2469696, True),
        'no_lrn': Variant('AlexNet without LRN', {'lrn': False, 'fc': False}, 2469696, True),
        'lrn_fc': Variant('AlexNet with LRN and FC layers', {'lrn': True, 'fc': True}, 61100840),
        'no_lrn_fc': Variant('AlexNet with FC layers', {'lrn': False, 'fc': True}, 61100840)}),
    'vgg16': Network('VGGNet', '6.2', {          # figure 6-7: 133, 133, 134, 138, 144 million
        'D': Variant('VGG-16 (D)', {'configuration': 'D'}, 138357544, True),
        'A': Variant('VGG-11 (A)', {'configuration': 'A'}, 132863336),
        'A-LRN': Variant('VGG-11 with LRN (A-LRN)', {'configuration': 'A-LRN'}, 132863336),
        'B': Variant('VGG-13 (B)', {'configuration': 'B'}, 133047848),
        'C': Variant('VGG-16 (C)', {'configuration': 'C'}, 133638952),
        'E': Variant('VGG-19 (E)', {'configuration': 'E'}, 143667240)}),
    'inception_v3': Network('Inception V3', '6.3', {     # tf.contrib.slim.nets
        'aux': Variant('Inception V3', {}, 27143152, True)}),
    'resnet_v2': Network('ResNet V2', '6.4', {           # tf.contrib.slim.nets
        '152': Variant('ResNet V2 152', {'depth': 152}, 60236904, True),
        '50': Variant('ResNet V2 50', {'depth': 50}, 25568360),
        '101': Variant('ResNet V2 101', {'depth': 101}, 44577896),
        '200': Variant('ResNet V2 200', {'depth': 200}, 64726120)}),
}
SWITCHES = 'lrn', 'fc'               # flags that have a --no_ form
PASSES = 'Forward', 'Forward-backward'


def script(benchmark: str) -> str:
    """Returns the file name of a network's script."""
    return benchmark + '_benchmark.py'


def title(benchmark: str, variant: str) -> str:
    """Returns the name of a variant for the screen, such as 'ResNet V2 152'. A variant that occurs
    only in published figures keeps its own name after the network's."""
    network = NETWORKS[benchmark]
    if variant in network.variants:
        return network.variants[variant].title
    return '%s %s' % (network.title, variant)


def default_variants(benchmark: str) -> List[str]:
    """Returns the variants of a network that are timed by default: those that the chapter times;
    the first of a network that is not in the chapter."""
    variants = NETWORKS[benchmark].variants
    return [name for name in variants if variants[name].in_chapter] or list(variants)[:1]


def choices(benchmark: str, flag: str) -> List[Any]:
    """Returns the values that a flag of a network's script can have, in ascending order."""
    return sorted(variant.flags[flag] for variant in NETWORKS[benchmark].variants.values())


def variant(benchmark: str, args: argparse.Namespace) -> str:
    """Returns the name of the variant that the parsed flags select."""
    name, = [name for name, candidate in NETWORKS[benchmark].variants.items()
             if all(getattr(args, flag) == value for flag, value in candidate.flags.items())]
    return name


def words(options: Dict[str, Any]) -> List[str]:
    """Returns options, by name, as the words of a command line: {'depth': 50, 'lrn': False, 'xla':
    True, 'json': None} gives ['--depth', '50', '--no_lrn', '--xla']."""
    arguments = []                                       # type: List[str]
    for name, value in options.items():
        if isinstance(value, bool):
            arguments += ['--' + name] if value else ['--no_' + name] if name in SWITCHES else []
        elif value is not None:
            arguments += ['--' + name, str(value)]
    return arguments
