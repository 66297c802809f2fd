"""Beside the peers: they have our parameters and FLOP, take turns, and no figure hides a fault."""
import argparse
import functools
import importlib.util
import json
import math
import sys

import pytest

from common import graph, networks, tf1
from common.machine import device
from common.tf1 import tf
from common.workload import Run
from suite.peers import command as peers

CPU = device.Device('cpu', 'X', 'X')
SHORT = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '10', '--num_steps_burn_in', '1']
with_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ('torch', 'torchvision')),
    reason='needs PyTorch and torchvision')


def flags(**changed):
    return argparse.Namespace(**dict({
        'batch_size': 2, 'num_batches': 20, 'num_steps_burn_in': 3, 'forward_only': False,
        'fetch': 'tensors', 'precision': 'float32', 'xla': False, 'intra_op_threads': 0,
        'inter_op_threads': 0}, **changed))


def run_of(**changed):
    return Run(flags(**changed), CPU, None, None, None)


@functools.lru_cache(maxsize=None)
def ours(network):
    return built(peers.ours(network, flags()))


def built(passes):
    """[trainable parameters, FLOP of the forward step, of the forward-backward step]."""
    with passes[0].tensors[0].graph.as_default():
        parameters = sum(one.shape.num_elements() for one in tf.trainable_variables())
    return [parameters] + [sum(map(graph.flops, graph.needed_ops(one.tensors)))
                           for one in passes]


@pytest.mark.parametrize('network, variant, build, same', [
    ('vgg16', 'D', peers.slim_nets, True),
    ('vgg16', 'D', peers.Keras(), True),
    ('inception_v3', 'aux', peers.slim_nets, True),
    ('inception_v3', 'aux', peers.Keras(), False),       # no auxiliary classifier
    ('resnet_v2', '152', peers.slim_nets, True),
    ('resnet_v2', '152', peers.Keras(), True),
    ('alexnet', 'no_lrn_fc', peers.slim_nets, False),    # see peers.DIFFERS
])
def test_the_peers_are_the_same_networks(network, variant, build, same):
    theirs = built(peers.theirs(network, flags(), build))
    assert ours(network)[0] == networks.NETWORKS[network].variants[variant].parameters
    assert (ours(network) == theirs) == same
    assert same or (network, 'slim' if build is peers.slim_nets else 'keras') in peers.DIFFERS
    assert all(0.8 < our / their < 1.25 for our, their in zip(ours(network), theirs))


def test_the_input_and_the_passes_are_ours():
    for network, (_, _, drawn) in peers.NETWORKS.items():
        if network in ('alexnet', 'inception_v3'):
            for passes in (peers.ours(network, flags()),
                           peers.theirs(network, flags(), peers.slim_nets)):
                assert tuple(one.info_string for one in passes) == peers.PASSES
                images = [op.type for op in graph.needed_ops(passes[0].tensors)
                          if op.outputs and op.outputs[0].shape.ndims == 4
                          and op.outputs[0].shape.as_list()[::3] == [2, 3]]
                assert ('RandomUniform' in images) == drawn
                assert ('VariableV2' in images) == (not drawn)
    forward, = peers.theirs('alexnet', flags(forward_only=True), peers.slim_nets)
    assert forward.info_string == 'Forward'


def contender(name, seconds, faults=()):
    return peers.Contender(name, '1', seconds, {'Forward': 3 * 10 ** 9}, {'Forward': list(faults)})


def test_they_take_turns():
    calls = []

    def seconds_of(name):
        def seconds(info_string, num_batches, num_steps_burn_in):
            calls.append((name, num_batches, num_steps_burn_in))
            return [len(calls)] * num_batches
        return seconds
    found = [contender(name, seconds_of(name)) for name in 'abc']
    rounds = peers.take_turns(found, 'Forward', flags())
    assert calls[:3] == [('a', 1, 3), ('b', 1, 3), ('c', 1, 3)]      # the burn-in
    assert ''.join(name for name, _, _ in calls[3:15]) == 'abcbcacababc'
    assert {call[1:] for call in calls[3:]} == {(2, 0)}
    assert [len(seconds) for seconds in rounds] == [10, 10, 10]
    assert [seconds[:2] for seconds in rounds] == [[4, 9], [5, 7], [6, 8]]


def test_the_ratio_is_of_the_same_rounds():
    """A machine that slows down by 5 between two rounds meets both alike: the ratio is exact."""
    value, low, high = peers.ratio([1, 2, 5, 10], [2, 4, 10, 20])
    assert (value, low, high) == pytest.approx((0.5, 0.5, 0.5))
    value, low, high = peers.ratio([1.1, 1.0, 1.2], [1, 1, 1])
    logs = [math.log(1.1), 0, math.log(1.2)]
    mean = sum(logs) / 3
    half = 4.303 * math.sqrt(sum((one - mean) ** 2 for one in logs) / 2) / math.sqrt(3)
    assert (value, low, high) == pytest.approx(
        (math.exp(mean), math.exp(mean - half), math.exp(mean + half)))


@pytest.mark.parametrize('low, high, words', [
    (1.01, 1.2, 'ours is slower'), (0.8, 0.99, 'ours is faster'),
    (0.99, 1.2, 'no significant difference')])
def test_the_verdict(low, high, words):
    assert peers.verdict(low, high) == words


def test_a_fault_is_no_verdict():
    found = [contender('ours', None), contender('slim', None, ['the step executed nothing'])]
    one, = peers.entries('alexnet', found, 'Forward', run_of(), [[1.0] * 10, [2.0] * 10])
    assert (one['ratio'], one['verdict']) == (pytest.approx(0.5), 'INVALID')
    assert peers.table([one])[1] == [
        'alexnet', 'Forward', 'slim', '1000', '2000', '0.500', '0.500 to 0.500', 'INVALID', '3.0',
        '3.0']
    assert peers.notes([one]) == [
        'alexnet, slim: ' + peers.DIFFERS['alexnet', 'slim'],
        'INVALID: alexnet, Forward: slim: the step executed nothing']


def test_a_run(tmp_path, capsys):
    path = tmp_path / 'peers.json'
    assert peers.main(SHORT + ['--only', 'alexnet', '--json', str(path)]) == 0
    out = capsys.readouterr().out
    assert 'Ours beside its peers' in out and 'step 0, duration' not in out
    written = json.loads(path.read_text())
    assert (written['kind'], written['environment']['tensorflow']) == ('peers', tf1.VERSION)
    slim = [one for one in written['results'] if one['peer'] == 'slim']
    assert [one['info_string'] for one in slim] == list(peers.PASSES)
    for one in slim:
        assert one['faults'] == [] and len(one['ours_s']) == len(one['peer_s']) == peers.ROUNDS
        assert one['ci95'][0] < one['ratio'] < one['ci95'][1]
    assert slim[0]['ours_flops'] == pytest.approx(2 * 0.717e9, rel=1e-3)


@with_torch
def test_a_run_beside_pytorch(tmp_path):
    path = tmp_path / 'peers.json'
    assert peers.main(SHORT + ['--only', 'alexnet', '--json', str(path)]) == 0
    results = [one for one in json.loads(path.read_text())['results']
               if one['peer'] == 'torchvision']
    assert [one['info_string'] for one in results] == list(peers.PASSES)
    for one in results:
        assert one['faults'] == [] and 0.9 < one['ours_flops'] / one['peer_flops'] < 1.1


def test_without_pytorch_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(peers.importlib.util, 'find_spec', lambda name: None)
    with peers.on_torch('resnet_v2', run_of()) as found:
        assert found is None
    assert capsys.readouterr().out == (
        'resnet_v2: torch and timm not installed: PyTorch is left out\n')


def test_pytorch_that_ends_is_one_sentence(tmp_path, monkeypatch):
    script = tmp_path / 'dies.py'
    script.write_text('import sys; sys.exit(5)')
    monkeypatch.setattr(peers.importlib.util, 'find_spec', lambda name: name)
    monkeypatch.setattr(peers, 'TORCH_PEER', [sys.executable, str(script)])
    with pytest.raises(device.Unusable, match='vgg16: PyTorch ended with exit code 5'), \
            peers.on_torch('vgg16', run_of()):
        pass


@pytest.mark.parametrize('words, why', [
    (['--num_batches', '9'], 'is not an integer from 10'),
    (['--num_batches', '19'], '19 is no multiple of 10'),
    (['--xla'], 'unrecognized arguments: --xla'),
    (['--only', 'lenet'], "invalid choice: 'lenet'"),
    (['--json', '/nowhere/peers.json'], 'argument --json: cannot write'),
])
def test_bad_usage(words, why, capsys):
    assert peers.main(['--device', 'cpu'] + words) == 2
    assert why in capsys.readouterr().err
