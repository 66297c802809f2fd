"""The other lists of networks agree with the table in common/networks.py."""
import argparse
import os

import pytest

from common import networks

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_every_network_has_a_script_and_every_script_a_row():
    scripts = {name for name in os.listdir(ROOT) if name.endswith('_benchmark.py')}
    assert scripts == set(map(networks.script, networks.NETWORKS))


@pytest.mark.parametrize('benchmark, name', [
    (benchmark, name) for benchmark, network in networks.NETWORKS.items()
    for name in network.variants])
def test_the_flags_of_a_variant_select_it(benchmark, name):
    flags = networks.NETWORKS[benchmark].variants[name].flags
    assert networks.variant(benchmark, argparse.Namespace(**flags)) == name


def test_options_become_words():
    assert networks.words({'depth': 50, 'lrn': False, 'fc': True, 'xla': True, 'profile': False,
                           'json': None}) == ['--depth', '50', '--no_lrn', '--fc', '--xla']


def test_choices_are_in_ascending_order():
    assert networks.choices('resnet_v2', 'depth') == [50, 101, 152, 200]
    assert networks.choices('vgg16', 'configuration') == ['A', 'A-LRN', 'B', 'C', 'D', 'E']
