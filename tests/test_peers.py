"""suite peers: the peers have our parameters and FLOP, each contender has a process of its own in
each round and takes turns with the others, and a verdict needs the whole interval."""
import argparse
import importlib.util
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from common import graph, networks, text, tf1
from common.machine import device
from common.networks import PASSES
from common.stop import Stop
from common.tf1 import tf
from common.workload import Run
from suite.peers import command, contenders, rounds, tables
from suite.peers import tensorflow_peer as on_tensorflow

SHORT = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '80', '--num_steps_burn_in', '1']
ALEXNET = SHORT + ['--only', 'alexnet']


def task_of(contender, network='alexnet', **changed):
    """The task of a worker."""
    return dict({
        'contender': contender, 'network': network, 'batch_size': 2, 'num_batches': 20,
        'num_steps_burn_in': 3, 'forward_only': False, 'fetch': 'tensors', 'device': 'cpu',
        'precision': 'float32', 'xla': False, 'intra_op_threads': 0, 'inter_op_threads': 0,
        'image_size': importlib.import_module(network + '_benchmark').IMAGE_SIZE,
        'aux_weight': 0.3}, **changed)


# The networks

def passes_of(contender, network, **changed):
    flags = networks.NETWORKS[network].variants[contenders.MATCHES[network].variant].flags
    with tf.Graph().as_default():
        return on_tensorflow.build(argparse.Namespace(
            **task_of(contender, network, **changed), **flags))


def counts(passes):
    """[trainable parameters, FLOP of the forward step, of the forward-backward step]."""
    with passes[0].tensors[0].graph.as_default():
        parameters = sum(variable.shape.num_elements() for variable in tf.trainable_variables())
    return [parameters] + [sum(map(graph.flops, graph.needed_ops(timed.tensors)))
                           for timed in passes]


@pytest.mark.parametrize('network, peers, are_same, draws, passes', [
    ('alexnet', ['slim'], False, False, PASSES),         # see tables.DIFFERS
    ('vgg16', ['slim', 'keras'], True, False, PASSES),
    pytest.param('inception_v3', ['slim'], True, True, PASSES, marks=pytest.mark.slow),
    pytest.param('resnet_v2', ['slim', 'keras'], True, True, PASSES[:1], marks=pytest.mark.slow)])
def test_the_peers_are_the_same_networks(network, peers, are_same, draws, passes, monkeypatch):
    """Parameters, FLOP, passes, and whether the images are drawn in every step."""
    monkeypatch.setitem(contenders.MATCHES, 'resnet_v2', contenders.MATCHES['resnet_v2']._replace(
        variant='50', keras='ResNet50V2'))               # 152 layers take half a minute to build
    variant = networks.NETWORKS[network].variants[contenders.MATCHES[network].variant]
    expected = None
    for contender in ['ours', *peers]:
        graph_passes = passes_of(contender, network, forward_only=len(passes) == 1)
        assert tuple(timed.info_string for timed in graph_passes) == tuple(passes)
        images = [op.type for op in graph.needed_ops(graph_passes[0].tensors)
                  if op.outputs and op.outputs[0].shape.ndims == 4
                  and op.outputs[0].shape.as_list()[::3] == [2, 3]]
        assert ('RandomUniform' in images, 'VariableV2' in images) == (draws, not draws)
        values = counts(graph_passes)
        expected = expected or values
        assert expected[0] == variant.parameters
        assert values == expected if are_same or contender == 'ours' else (
            (network, contender) in tables.DIFFERS
            and all(0.8 < our / their < 1.25 for our, their in zip(expected, values)))


# The rounds

def test_the_order_is_random_and_balanced():
    names = ['ours', 'ours again', 'slim', 'keras', 'timm']
    ordered = rounds.order(names)
    assert ordered == rounds.order(names) and len(ordered) == rounds.ROUNDS == 20
    assert all(sorted(of_round) == sorted(names) for of_round in ordered)
    assert len({tuple(of_round) for of_round in ordered}) > 10
    for name in names:                                   # all have the same mean place
        assert sum(of_round.index(name) for of_round in ordered) == 20 * (len(names) - 1) / 2
    assert {of_round[0] for of_round in ordered} == set(names)


# Logs the contender, the process and each request. The fastest step of Keras's takes 2 s, of the
# others 1 s.
STUB = """
import json, os, sys, time
name = json.loads(sys.argv[1])['contender']
def log(*what):
    with open(%r, 'a') as file:
        print(json.dumps([name, os.getpid(), *what]), file=file)
log('start')
print('{"started": null}', flush=True)
%s
print('{"ready": null}', flush=True)
for line in sys.stdin:
    request = json.loads(line)
    log(*request)
    passes = ['Forward', 'Forward-backward']
    print(json.dumps({'answer': [9] * (request[2] - 1) + [1 + (name == 'keras')]
        if request[0] == 'time' else
        {'version': '1', 'note': None, 'flops': dict.fromkeys(passes, 3000000000),
         'faults': dict.fromkeys(passes, FAULTS)}}), flush=True)
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A function that replaces the worker by one that does nothing but the given lines, and returns
    a function that returns what the workers were told: [[contender, pid, request...], ...]."""
    def replace(lines='', faults='[]'):
        log, script = tmp_path / 'log', tmp_path / 'worker.py'
        script.write_text((STUB % (str(log), lines)).replace('FAULTS', faults))
        monkeypatch.setattr(rounds, 'WORKER', [sys.executable, '-S', str(script)])
        return lambda: [json.loads(line) for line in log.read_text().splitlines()]
    monkeypatch.setattr(command.importlib.util, 'find_spec', lambda name: None)
    return replace


def test_each_contender_has_a_process_of_its_own_in_each_round_and_takes_turns(
        stub, tmp_path, capsys):
    names = ['keras', 'ours', 'ours again']
    path, told = tmp_path / 'peers.json', stub()
    assert command.main(SHORT + ['--num_batches', '160', '--num_steps_burn_in', '7', '--peers',
                                 'keras', '--only', 'vgg16', 'vgg16', '--json', str(path)]) == 0
    calls = told()
    starts = [(name, pid) for name, pid, *what in calls if what == ['start']]
    assert len({pid for _, pid in starts}) == len(starts) == 60      # the network is timed once
    for number, first in enumerate(rounds.order(['ours', 'ours again', 'keras'])):
        pids = dict(starts[3 * number:3 * number + 3])   # of this round
        assert sorted(pids) == names
        expected = [[name, pids[name], 'time', info_string, 2, burn_in] for info_string in PASSES
                    for turn, burn_in in zip([first, first[::-1]] * 2, [7, 1, 1, 1])
                    for name in turn]
        expected += [[name, pids[name], 'check'] for name in first] * (number == 0)
        of_round = [call for call in calls if call[1] in pids.values()]
        assert all(call[2:] == ['start'] for call in of_round[:3])   # all are there before a turn
        assert of_round[3:] == expected
    written = json.loads(path.read_text())
    assert (written['kind'], written['status']) == ('peers', 'finished')
    assert [(entry['info_string'], entry['peer'], entry['verdict'])
            for entry in written['results']] == [
        (name, peer, verdict) for name in PASSES
        for peer, verdict in [('ours', 'control'), ('keras', 'ours is faster')]]
    assert written['results'][1]['ours_s'] == [1] * 20 == [
        seconds - 1 for seconds in written['results'][1]['peer_s']]
    out = capsys.readouterr().out
    assert out.count('vgg16: round ') == 20 and 'vgg16: round 20 of 20\n' in out
    assert 'control: ours again' in out and tables.MARGIN_NOTE in ' '.join(out.split())


NOT_INSTALLED = ': PyTorch is left out, because torch and torchvision are not installed'


@pytest.mark.parametrize('installed, words, peers, said', [
    (False, ['--only', 'alexnet', '--peers'], set(), ''),
    (False, ['--only', 'alexnet', '--peers', 'slim'], {'slim'}, ''),
    (False, ['--only', 'alexnet'], {'slim'}, 'alexnet' + NOT_INSTALLED),
    (False, ['--only', 'alexnet', '--peers', 'keras'], set(),
     'alexnet: none of --peers is available, so only the control is timed'),
    (True, ['--only', 'vgg16'], {'slim', 'keras', 'torchvision'}, ''),
    (True, ['--only', 'inception_v3', '--peers', 'torchvision', '--batch_size', '2'],
     {'torchvision'}, ''),
    (True, ['--only', 'inception_v3', '--peers', 'torchvision', '--forward_only'],
     {'torchvision'}, ''),
    (True, ['--only', 'inception_v3'], {'slim', 'keras'},
     'inception_v3: torchvision is left out, because PyTorch does not train')])
def test_which_peers_are_timed(installed, words, peers, said, stub, monkeypatch, capsys):
    monkeypatch.setattr(rounds, 'ROUNDS', tables.MIN_ROUNDS)
    told = stub()
    if installed:
        monkeypatch.setattr(command.importlib.util, 'find_spec', lambda name: name)
    assert command.main(SHORT + words) == 0
    assert {name for name, *_ in told()} == peers | {'ours', 'ours again'}
    out = capsys.readouterr().out.split('\nOurs beside its peers')[0]
    assert said in out
    assert len(out.splitlines()) == 1 + tables.MIN_ROUNDS + bool(said)   # the device, the rounds


def test_a_fault_is_no_verdict(stub, tmp_path, monkeypatch, capsys):
    path = tmp_path / 'peers.json'
    monkeypatch.setattr(rounds, 'ROUNDS', tables.MIN_ROUNDS)
    stub(faults="['the step executed nothing'] if sys.argv[1].count('slim') else []")
    assert command.main(ALEXNET + ['--json', str(path)]) == 1
    results = json.loads(path.read_text())['results']
    assert [entry['verdict'] for entry in results] == ['control', 'INVALID'] * 2
    assert 'INVALID: alexnet, Forward: slim: the step executed nothing\n' in capsys.readouterr().out


AT_ITS_FIRST_TURN = """class Turn:
    def __iter__(self):
        %s
sys.stdin = Turn()"""


@pytest.mark.parametrize('lines, why', [
    ('sys.exit(5)', 'ended without an answer (crashed: exit code 5).'),
    ('os.kill(os.getpid(), 9)', 'ended without an answer (crashed: SIGKILL).' + rounds.MEMORY),
    ("print(json.dumps({'error': 'OOM: no memory'})); sys.exit(3)",
     'failed with OOM: no memory.' + rounds.MEMORY),
    (AT_ITS_FIRST_TURN % 'os.kill(os.getpid(), 9)',
     'ended without an answer (crashed: SIGKILL).' + rounds.MEMORY),
    ('time.sleep(600)', 'did not answer within 1.5 s.'),
    (AT_ITS_FIRST_TURN % 'time.sleep(600)', 'did not answer within 1 s.'),
])
def test_a_worker_that_fails_or_hangs_is_one_sentence(lines, why, stub, monkeypatch, capsys):
    monkeypatch.setattr(rounds, 'BUILD_S', 1.5 if lines.startswith('time') else 1800)
    monkeypatch.setattr(rounds, 'STEP_S', 0.5)           # 1 timed and 1 untimed
    stub(lines)
    assert command.main(ALEXNET) == 3
    first = rounds.order(['ours', 'ours again', 'slim'])[0][0]
    assert capsys.readouterr().err == 'alexnet: %s %s\n' % (first, why)


@pytest.mark.skipif(importlib.util.find_spec('torch') is not None, reason='PyTorch is installed')
def test_a_library_that_cannot_be_imported_is_one_sentence():
    with pytest.raises(Stop, match='alexnet: torchvision failed with ModuleNotFoundErr'):
        rounds.one_round(task_of('ours'), ['torchvision'], 1, 1, False)


def test_the_reason_of_an_error_is_its_first_line_that_says_something():
    assert text.reason('2 root error(s) found.\n  (0) Resource exhausted: OOM\n more') == (
        '(0) Resource exhausted: OOM')
    assert text.reason("Graph execution error:\n\nDetected at node 'a' defined at\nNode: 'a'\n"
                       'OOM when\n') == 'OOM when'
    assert text.reason('Graph execution error:\n\nOOM: a tensor\n') == 'OOM: a tensor'
    assert text.reason('') == 'no reason given'


@pytest.mark.parametrize('is_interrupted, code, status', [
    (True, 130, 'interrupted'), (False, 3, 'failed')])
def test_the_rounds_before_an_error_or_ctrl_c_are_recorded_and_shown(
        is_interrupted, code, status, stub, tmp_path):
    """The workers of the eighth round hang or crash; the record is written after each round."""
    path, log = tmp_path / 'peers.json', tmp_path / 'log'
    told = stub('if open(%r).read().count("start") > 21: %s' % (
        str(log), 'time.sleep(600)' if is_interrupted else 'sys.exit(5)'))
    script = ('import sys; from suite.peers import command, rounds; '
              'rounds.WORKER = %r; command.importlib.util.find_spec = lambda name: None; '
              'sys.exit(command.main(%r))' % (rounds.WORKER, ALEXNET + ['--json', str(path)]))
    with subprocess.Popen([sys.executable, '-c', script], stderr=subprocess.PIPE, text=True,
                          cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                          stdout=subprocess.PIPE) as running:
        if is_interrupted:
            while not log.exists() or len(told()) < 7 * 27 + 6:      # of the eighth all have begun
                assert running.poll() is None
                time.sleep(0.05)
            assert json.loads(path.read_text())['status'] == 'running'
            running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == code
    assert err == 'Interrupted.\n' if is_interrupted else err.startswith('alexnet: ')
    assert 'alexnet: round 7 of 20' in out and 'control: ours again' in out
    written = json.loads(path.read_text())
    assert written['status'] == status
    assert {len(entry['ours_s']) for entry in written['results']} == {7}
    for pid in {pid for _, pid, *_ in told()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


# The figures

@pytest.mark.parametrize('ours_s, peer_s, expected', [
    ([1, 2, 5, 10, 5, 1], [2, 4, 10, 20, 10, 2], (0.5, 0.5, 0.5)),   # rounds of different speed
    ([1.1, 1.0, 1.2, 1.3, 0.9, 1.1], [1] * 6, (1.1, 0.9, 1.3)),   # few rounds: all of them
    # A round in which one contender was disturbed hardly counts.
    ([0.99, 1.01] * 9 + [1.0, 1.4], [1] * 20, (1.0, 0.995, 1.01))])
def test_the_ratio_and_its_interval(ours_s, peer_s, expected):
    assert tables.ratio(ours_s, peer_s) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize('n', [6, 7, 10])
def test_what_is_outside_of_an_interval_leaves_out_5_percent(n):
    """Of all signs of n differences, in both directions together."""
    sums = [sum(itertools.compress(range(1, n + 1), signs))
            for signs in itertools.product((0, 1), repeat=n)]
    shares = [sum(total <= outside for total in sums) / len(sums)
              for outside in (tables.OUTSIDE[n], tables.OUTSIDE[n] + 1)]
    assert shares[0] <= 0.025 < shares[1]


def entry_of(low, high, **changed):
    """An entry whose interval is (low, high)."""
    return dict({'benchmark': 'vgg16', 'info_string': 'Forward', 'peer': 'keras', 'ratio': low,
                 'ci95': [low, high], 'ours_s': [low, low], 'peer_s': [1.0, 1.0], 'ours_flops': 1e9,
                 'peer_flops': 1e9, 'differs': None, 'faults': []}, **changed)


@pytest.mark.parametrize('low, high, changed, expected', [
    (1.011, 1.2, {}, 'ours is slower'),
    (1.003, 1.02, {}, 'undecided'),                      # excludes 1, but not the margin
    (0.995, 1.02, {}, 'undecided'),
    (0.991, 1.009, {}, 'equivalent'),
    (1.002, 1.008, {}, 'equivalent'),
    (0.98, 0.995, {}, 'undecided'),
    (0.8, 0.989, {}, 'ours is faster'),
    (0.5, 2.0, {}, 'undecided'),
    (0.5, 0.6, {'peer_flops': 1.004e9}, 'ours is faster'),
    (0.5, 0.6, {'peer_flops': 1.006e9}, 'none: +0.6 % FLOP'),
    (0.5, 0.6, {'peer': 'slim'}, 'none: other layers'),
    (0.5, 0.6, {'peer': 'ours'}, 'control'),
    (0.5, 0.6, {'faults': ['x']}, 'INVALID')])
def test_a_verdict_needs_the_whole_interval(low, high, changed, expected):
    entry = entry_of(low, high, **changed)
    assert tables.verdict(entry) == expected
    assert tables.table([entry])[1][6:8] == ['%.3f to %.3f' % (low, high), expected]


def test_the_table_and_its_notes():
    entries = [entry_of(0.995, 1.005, peer='ours'), entry_of(0.5, 0.5, differs='no dropout'),
               entry_of(0.97, 1.0, peer='ours', benchmark='alexnet')]
    assert tables.table(entries)[2] == ['vgg16', 'Forward', 'keras', '500', '1000', '0.500',
                                        '0.500 to 0.500', 'ours is faster', '1.0', '1.0']
    assert tables.notes(entries) == [
        tables.MARGIN_NOTE,
        ('The interval of the control is not within the margin of 1 % in alexnet Forward (0.970 to '
         '1.000): there a difference of that size may come from the method.'),
        'vgg16, keras: no dropout']


def test_of_runs_with_equal_contenders_few_get_a_verdict():
    """Processes scatter by 2 %, as measured, steps by 1 %; one process in twenty takes twice as
    long. Wilcoxon's interval of 20 rounds leaves 1 out in 4.84 % of the cases."""
    generator, names, verdicts, without_1 = random.Random(1), ['ours', 'ours again', 'keras'], [], 0
    run = Run(argparse.Namespace(**task_of('ours')), device.Device('cpu', 'X', 'X'), None, None,
              None)

    def answer():
        base = math.exp(generator.gauss(0, 0.02)) * (1 + (generator.random() < 0.05))
        return {'seconds': {PASSES[0]: [base * math.exp(generator.gauss(0, 0.01))
                                        for _ in range(6)]},
                'checks': {'version': '1', 'note': None, 'flops': {PASSES[0]: 1},
                           'faults': {PASSES[0]: []}}}
    for _ in range(4000):
        answers = [{name: answer() for name in names} for _ in range(rounds.ROUNDS)]
        for entry in command.entries('vgg16', names, answers, run):
            verdicts.append(entry['verdict'])
            without_1 += not entry['ci95'][0] <= 1 <= entry['ci95'][1]
    assert 0.04 * 8000 < without_1 <= 0.052 * 8000
    assert 0 < sum(map(verdicts.count, ('ours is slower', 'ours is faster'))) <= 0.01 * 4000


# Real runs

@pytest.mark.slow
def test_a_run(tmp_path, monkeypatch, capsys):
    path, measure = tmp_path / 'peers.json', rounds.measure

    def once(task, names, *steps):
        """Runs the first round only, without the control: its answers stand for all."""
        answers = next(measure(task, [name for name in names if name != 'ours again'], *steps))
        answers['ours again'] = answers['ours']
        for _ in range(rounds.ROUNDS):
            yield answers
    monkeypatch.setattr(rounds, 'measure', once)
    monkeypatch.setattr(rounds, 'TURNS', 1)
    assert command.main(ALEXNET + ['--peers', 'slim', '--json', str(path)]) == 0
    out = capsys.readouterr().out
    assert 'Ours beside its peers' in out and 'step 0, duration' not in out
    written = json.loads(path.read_text())
    assert written['environment']['tensorflow'] == tf1.VERSION
    assert [(entry['peer'], entry['info_string']) for entry in written['results']] == [
        (peer, info_string) for info_string in PASSES for peer in ('ours', 'slim')]
    for entry in written['results']:
        assert entry['faults'] == [] and len(entry['ours_s']) == len(entry['peer_s']) == 20
        assert entry['ratio'] == pytest.approx(entry['ours_s'][0] / entry['peer_s'][0])
    assert written['results'][0]['ours_flops'] == pytest.approx(2 * 0.717e9, rel=1e-3)


@pytest.mark.skipif(not all(map(importlib.util.find_spec, ['torch', 'torchvision'])),
                    reason='needs PyTorch and torchvision')
@pytest.mark.parametrize('cxx, note', [(None, 'channels_last, compiled'), (
    'false', 'channels_last, not compiled, because torch.compile failed (')])
def test_pytorch(cxx, note, monkeypatch, tmp_path):
    if cxx:                                              # no compiler, and nothing compiled before
        monkeypatch.setenv('CXX', cxx)
        monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))
    answer = rounds.one_round(task_of('ours', batch_size=1), ['torchvision'], 2, 1, True)[
        'torchvision']
    assert {name: len(seconds) for name, seconds in answer['seconds'].items()} == dict.fromkeys(
        PASSES, 8)
    assert answer['checks']['faults'] == dict.fromkeys(PASSES, [])
    assert answer['checks']['version'].startswith('PyTorch ')
    assert answer['checks']['note'].startswith(note)
    assert answer['checks']['flops']['Forward'] == pytest.approx(2 * 0.717e9, rel=0.1)


@pytest.mark.parametrize('variable, words, code, why', [
    (None, ['--num_batches', '79'], 2, 'is not an integer from 80'),
    (None, ['--num_batches', '100'], 2, '100 is no multiple of 80'),
    (None, ['--xla'], 2, 'unrecognized arguments: --xla'),
    (None, ['--only', 'lenet'], 2, "invalid choice: 'lenet'"),
    (None, ['--peers', 'caffe'], 2, "invalid choice: 'caffe'"),
    (None, ['--json', '/nowhere/peers.json'], 2, 'argument --json: cannot write'),
    ('TF_SYNC_ON_FINISH', [], 1, 'INVALID: TF_SYNC_ON_FINISH=0: '),
    ('HOROVOD_RANK', [], 2, 'this command starts processes of its own')])
def test_what_is_refused(variable, words, code, why, monkeypatch, capsys):
    if variable:
        monkeypatch.setenv(variable, '0')
        for name in ('SIZE', 'LOCAL_RANK', 'LOCAL_SIZE') if variable == 'HOROVOD_RANK' else ():
            monkeypatch.setenv('HOROVOD_' + name, '1')
    assert command.main(['--device', 'cpu'] + words) == code
    assert why in capsys.readouterr().err
