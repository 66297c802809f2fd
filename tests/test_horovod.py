"""Jobs of several processes: real ones on the CPU, over gloo, where Horovod is installed."""
import argparse
import glob
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid

import jsonschema
import numpy
import pytest

import alexnet_benchmark
from common import report, tf1
from common.horovod import join as distributed
from common.machine import device
from common.probes import checks
from common.timing import Timing
from suite.peers import command as peers
from suite.run import command as run_all

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOROVOD = ('HOROVOD_RANK', 'HOROVOD_SIZE', 'HOROVOD_LOCAL_RANK', 'HOROVOD_LOCAL_SIZE')
SHORT = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '4', '--num_steps_burn_in', '1',
         '--intra_op_threads', '1', '--inter_op_threads', '1']
needs_horovod = pytest.mark.skipif(importlib.util.find_spec('horovod') is None,
                                   reason='Horovod is not installed (make horovod)')


# Who takes part

@pytest.mark.parametrize('environment, job', [
    ({}, None),
    ({'HOROVOD_RANK': '1'}, None),
    (dict(zip(HOROVOD, '3412')), (3, 4, 1, 2)),
    ({'OMPI_COMM_WORLD_RANK': '5', 'OMPI_COMM_WORLD_SIZE': '8', 'OMPI_COMM_WORLD_LOCAL_RANK': '1',
      'OMPI_COMM_WORLD_LOCAL_SIZE': '4'}, (5, 8, 1, 4))])
def test_the_launcher_says_which_rank_it_is(environment, job):
    assert distributed.launched(environment) == job


@pytest.fixture
def launched(monkeypatch):
    """This process is rank 1 of 4, the second of its host's two."""
    for name, value in zip(HOROVOD, '1412'):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize('given, gpus, left', [
    (None, 2, '1'), (None, 8, '1'), ('4,6', 8, '6'), ('GPU-aa,GPU-bb,GPU-cc', 3, 'GPU-bb'),
    (None, 0, None), ('', 2, '')])
def test_each_process_has_the_gpu_of_its_local_rank(given, gpus, left, launched, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')       # put back at the end
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    if given is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given)
    monkeypatch.setattr(device, 'count', lambda: gpus)
    distributed.pin(distributed.launched(), 'auto')
    assert os.environ.get('CUDA_VISIBLE_DEVICES') == left


@pytest.mark.parametrize('given, gpus, said', [
    (None, 1, 'has 1 GPU (CUDA_VISIBLE_DEVICES=not set)'), ('3', 8, 'has 1 GPU (CUDA_VISIBLE_DE')])
def test_fewer_gpus_than_processes_is_said_and_exit_code_3(given, gpus, said, launched, monkeypatch,
                                                          capsys):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if given:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given)
    monkeypatch.setattr(device, 'count', lambda: gpus)
    assert alexnet_benchmark.main([]) == 3
    error = capsys.readouterr().err
    assert error.startswith('rank 1: 2 processes were started on ')
    assert said in error and '-H host:1' in error


@pytest.mark.parametrize('flags', [['--xla'], ['--precision', 'mixed'], ['--profile'],
                                   ['--trace', 'trace.json']])
def test_what_is_of_one_process_alone_is_refused(flags, launched, capsys):
    assert alexnet_benchmark.main(SHORT + flags) == 2
    error = capsys.readouterr().err
    assert 'argument %s: not allowed with more than one process' % flags[0] in error


@pytest.mark.parametrize('script', [run_all, peers])
def test_what_starts_processes_of_its_own_is_refused(script, launched, capsys):
    assert script.main([]) == 2
    assert 'horovodrun and mpirun start one of the four scripts' in capsys.readouterr().err


def test_without_horovod_the_command_that_installs_it_is_named(launched, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'horovod.tensorflow', None)
    assert alexnet_benchmark.main(SHORT) == 3
    error = capsys.readouterr().err
    assert error.startswith('rank 1: ') and len(error.splitlines()) == 1
    assert '`make horovod RUNTIME=%s`' % tf1.RUNTIME in error


def test_a_plain_run_imports_no_horovod(tmp_path):
    script = ('import sys, alexnet_benchmark\n'
              'assert alexnet_benchmark.main(%r) == 0\n'
              'assert "horovod" not in sys.modules' % (SHORT + ['--forward_only']))
    assert subprocess.run([sys.executable, '-c', script], cwd=ROOT, stdout=subprocess.DEVNULL
                          ).returncode == 0


def test_what_differs_is_named_with_its_ranks():
    same = {'the script': 'vgg16_benchmark.py', '--batch_size': 32, 'numpy': '1.18.5'}
    assert distributed.disagreement([same, same]) is None
    sentence = distributed.disagreement([same, dict(same, numpy='1.16.0'), same,
                                         dict(same, **{'--batch_size': 16})])
    assert sentence.startswith(
        'The ranks do not run the same: --batch_size is 32 on ranks 0, 1, 2, 16 on rank 3; numpy '
        'is 1.18.5 on ranks 0, 2, 3, 1.16.0 on rank 1. ')
    assert 'script' not in sentence


# Who is there

@pytest.fixture
def store(monkeypatch):
    """horovodrun's store, by (method, name, rank); the test's rank is 0 of 3."""
    kept = {}

    def ask(method, name, rank, words=None):
        if method == 'PUT':
            kept[name, rank] = words
        return kept.get((name, rank))
    monkeypatch.setenv('HOROVOD_GLOO_RENDEZVOUS_ADDR', '127.0.0.1')
    monkeypatch.setattr(distributed, '_ask', ask)
    monkeypatch.setattr(distributed, 'POLL_S', 0.01)
    return kept


JOB = distributed.Job(0, 3, 0, 3)


def test_a_roll_call_ends_when_all_have_answered(store):
    store.update({('x', 1): 'one', ('x', 2): 'two'})
    assert distributed.roll_call(JOB, 'x', 'zero', 600) == {0: 'zero', 1: 'one', 2: 'two'}
    assert store['x', 0] == 'zero'


def test_a_roll_call_does_not_wait_longer_than_it_says(store):
    store['x', 1] = 'one'
    assert distributed.roll_call(JOB, 'x', 'zero', 0.05) == {0: 'zero', 1: 'one'}


def test_without_horovodruns_store_there_is_no_roll_call(monkeypatch):
    monkeypatch.delenv('HOROVOD_GLOO_RENDEZVOUS_ADDR', raising=False)
    assert distributed.roll_call(JOB, 'x', 'zero', 600) is None


@pytest.fixture
def heart(store, monkeypatch):
    """A function that listens for a while to rank 1, whose beats are given one after the other, the
    last again and again; returns with which codes the process would have ended."""
    def listen(beats, entered=0, comes_through=False, seconds=0.4):
        codes, beats = [], list(beats)
        ask = distributed._ask

        def next_beat(method, name, rank, words=None):
            if (method, rank) == ('GET', 1):
                return beats.pop(0) if len(beats) > 1 else beats[0]
            return ask(method, name, rank, words)
        monkeypatch.setattr(distributed, '_ask', next_beat)
        monkeypatch.setattr(distributed, 'BEAT_S', 0.01)
        monkeypatch.setattr(distributed, 'SILENT_S', 0.1)
        monkeypatch.setattr(distributed, 'END_S', 0.05)
        monkeypatch.setattr(distributed.Exchange, 'entered', entered)
        monkeypatch.setattr(distributed.os, '_exit', codes.append)
        ended = threading.Event()
        hvd = argparse.Namespace(shutdown=ended.set)
        with distributed._heart(JOB, hvd) as heart:
            if comes_through:                            # session.run fails, and the block is left
                ended.wait(seconds)
            else:
                time.sleep(seconds)
        assert heart.lost == ended.is_set()
        return heart.lost, codes
    return listen


@pytest.mark.parametrize('beats', [[None], ['1 0'], ['1 0', '2 0', '3 0']])
def test_a_rank_that_falls_silent_ends_the_job_and_is_named(beats, heart, store, capsys):
    assert heart(beats) == (True, [3])
    assert capsys.readouterr().err == (
        'rank 0: rank 1 is lost: nothing was heard of it for 0.1 s. The job ends.\n')


def test_where_horovod_fails_what_is_waited_for_the_rank_ends_in_order(heart):
    assert heart([None], comes_through=True) == (True, [])


def test_a_rank_that_the_others_wait_for_ends_the_job_and_is_named(heart, monkeypatch, capsys):
    monkeypatch.setenv('HOROVOD_STALL_SHUTDOWN_TIME_SECONDS', '0.2')
    assert heart(['%d 7' % number for number in range(1000)], entered=8) == (True, [3])
    assert 'rank 1 is lost: it was waited for for 0.2 s' in capsys.readouterr().err


@pytest.mark.parametrize('beats, entered', [
    (['%d 8' % number for number in range(1000)], 8),    # both wait, or work
    (['%d 9' % number for number in range(1000)], 8),    # it waits for this one
    (['%d %d' % (number, number // 2) for number in range(1000)], 10000),    # it follows
    (['1 8', 'ended'], 9)])
def test_a_rank_that_lives_is_not_lost(beats, entered, heart, store, monkeypatch):
    monkeypatch.setenv('HOROVOD_STALL_SHUTDOWN_TIME_SECONDS', '0.2')
    assert heart(beats, entered) == (False, [])
    assert store['beat', 0] == 'ended'


# What is made of the steps

def scaling(own_columns, without=(0.9, 0.9), alone=(0.8, 0.8)):
    columns = [[1.0, 1.1], [1.0, 1.0], [1.0, 1.0]]
    ranks = [{'rank': rank, 'host': 'host%d' % (rank // 2), 'device': 'GPU X'} for rank in range(3)]
    return distributed.summary(
        ranks, Timing('Forward-backward', [1.0, 1.1]), columns, own_columns,
        Timing('without', without) if without else None, Timing('alone', alone),
        {'reduced_bytes': 100})


def test_efficiency_and_communication_are_ratios_of_means():
    found = scaling([[0.8, 0.9]] * 3)
    assert found['efficiency'] == pytest.approx(0.8 / 1.05)
    assert found['communication_share'] == pytest.approx(1 - 0.9 / 1.05)
    assert found['alone'] == {'mean_s': 0.8, 'sd_s': 0.0, 'ci95_s': None, 'samples_s': [0.8, 0.8]}
    assert [one['mean_s'] for one in found['ranks']] == pytest.approx([1.05, 1.0, 1.0])
    assert [one['own_mean_s'] for one in found['ranks']] == pytest.approx([0.85] * 3)
    assert found['stragglers'] == []


def test_a_forward_pass_communicates_nothing():
    found = scaling([[0.8, 0.9]] * 3, without=None)
    assert (found['without_allreduce'], found['communication_share']) == (None, None)


@pytest.mark.parametrize('slowest, named', [(1.09, []), (1.12, [2])])
def test_a_straggler_is_named_with_its_host_and_device(slowest, named):
    sentences = scaling([[1.0, 1.0], [1.0, 1.02], [slowest, slowest]])['stragglers']
    assert [sentence.partition(' is a straggler')[0] for sentence in sentences] == [
        'rank %d on host1 (GPU X)' % rank for rank in named]


def test_of_two_ranks_the_slower_is_the_straggler():
    ranks = [{'rank': rank, 'host': 'a', 'device': 'X'} for rank in range(2)]
    assert len(distributed.stragglers(ranks, [[2.0], [1.0]])) == 1
    assert distributed.stragglers(ranks, [[2.0], [1.0]])[0].startswith('rank 0 ')


def test_different_devices_are_shown():
    ranks = [{'host': 'a', 'device': name} for name in 'XYX']
    job = {'size': 3, 'hosts': {'a': 3}, 'horovod': '0.28.1', 'backend': 'nccl'}
    assert report.processes(job, ranks) == ('Processes: 3 (2 on a: X, 1 on a: Y); Horovod 0.28.1, '
                                            'gradients over nccl')


@pytest.mark.parametrize('executed, graph, gradients, sound', [
    (10, 10, 10, True), (0, 0, 0, True), (0, 10, 10, False), (9, 10, 10, False), (0, 0, 10, False)])
def test_a_gradient_that_is_not_reduced_is_a_fault(executed, graph, gradients, sound):
    faults = checks.reduced({'executed': executed, 'graph': graph}, gradients)
    assert faults == [] if sound else [
        'the step executed %d allreduces, the graph has %d, and %d gradients are to be reduced'
        % (executed, graph, gradients)]


@pytest.mark.parametrize('on_gpu, nccl, ranks_by_host, kinds', [
    (True, True, 2, []), (True, False, 2, ['backend']), (False, False, 2, ['shared']),
    (False, False, 1, [])])
def test_what_makes_a_figure_another_one_is_said_before_it(on_gpu, nccl, ranks_by_host, kinds,
                                                          monkeypatch):
    hvd = argparse.Namespace(nccl_built=lambda: nccl, gloo_enabled=lambda: True)
    monkeypatch.setattr(distributed, '_version', lambda: '0.28.1')
    group = distributed.Group(hvd, distributed.Job(0, 2, 0, 2), [
        {'host': 'host%d' % (rank // ranks_by_host), 'device': 'X',
         'same': {'device': 'gpu' if on_gpu else 'cpu'}} for rank in range(2)])
    assert [warning['kind'] for warning in group.warnings()] == kinds


def test_a_job_of_one_process_is_said_to_be_one(monkeypatch):
    monkeypatch.setattr(distributed, '_version', lambda: '0.28.1')
    group = distributed.Group(argparse.Namespace(gloo_enabled=lambda: True),
                              distributed.Job(0, 1, 0, 1),
                              [{'host': 'host0', 'device': 'X', 'same': {'device': 'cpu'}}])
    assert [warning['kind'] for warning in group.warnings()] == ['alone']


def test_the_steps_that_a_job_is_held_against_are_doubted_too():
    quiet, noisy = {'samples_s': [0.1] * 30}, {'samples_s': [0.5] + [0.1] * 29}
    few = {'samples_s': [0.1] * 3}
    assert distributed.doubts({'without_allreduce': None, 'alone': few}) == []
    one, = distributed.doubts({'without_allreduce': noisy, 'alone': quiet})
    assert (one.kind, one.text[:40]) == ('outliers', 'without the allreduce: 1 of 30 steps too')


def test_the_share_of_communication_has_an_interval():
    entry = {'mean_s': 1.0, 'statistics': {'ci95_s': [0.99, 1.01]},
             'scaling': {'without_allreduce': {'mean_s': 0.9, 'ci95_s': [0.89, 0.91]}}}
    assert report._share_interval(entry) == ' (95 % interval 8.6 to 11.3)'
    entry['statistics']['ci95_s'] = [0.8, 1.2]
    assert 'it cannot be told from 0' in report._share_interval(entry)
    entry['scaling']['without_allreduce']['ci95_s'] = None
    assert report._share_interval(entry) == ''


# Real jobs

class Finished:
    def __init__(self, code, out, error, seconds):
        self.code, self.out, self.error, self.seconds = code, out, error, seconds


def start(size, fault, folder, flags, **environment):
    """Starts a job; returns the process of horovodrun, and a name that all of the job carry."""
    name = uuid.uuid4().hex
    inherited = {key: value for key, value in os.environ.items() if not key.startswith('HOROVOD')}
    process = subprocess.Popen(
        [os.path.join(os.path.dirname(sys.executable), 'horovodrun'), '-np', str(size),
         sys.executable, '-m', 'tests.horovod_worker', fault, str(folder)] + SHORT + flags,
        cwd=ROOT, env=dict(inherited, JOB_OF_A_TEST=name, OMP_NUM_THREADS='1', **environment),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        start_new_session=True)
    return process, name


def left(name):
    """The processes of the job that are still there."""
    found = []
    for path in glob.glob('/proc/[0-9]*/environ'):
        try:
            with open(path, 'rb') as file:
                if name.encode() in file.read():
                    found.append(path.split('/')[2])
        except OSError:
            pass
    return found


def run(size, fault, folder, *flags, **environment):
    """Runs a job to its end, which must come, and after which no process may be left."""
    begin_s = time.monotonic()
    process, name = start(size, fault, folder, list(flags), **environment)
    try:
        out, error = process.communicate(timeout=150)
        seconds = time.monotonic() - begin_s
        assert left(name) == []
    finally:
        for pid in left(name):
            os.kill(int(pid), signal.SIGKILL)
    return Finished(process.returncode, out, error, seconds)


@pytest.fixture(scope='module', params=[(2, 'tensors'), (4, 'ops')], ids=['2', '4'])
def job(request, tmp_path_factory):
    """A sound job: its size, its folder, what it printed, its record."""
    size, fetch = request.param
    folder = tmp_path_factory.mktemp('job')
    finished = run(size, 'none', folder, '--fetch', fetch, '--json', str(folder / 'record.json'))
    assert finished.code == 0, finished.error
    with open(str(folder / 'record.json')) as file:
        return argparse.Namespace(size=size, folder=folder, finished=finished,
                                  record=json.load(file))


def arrays(job, name):
    """What each rank has: a list of arrays by rank."""
    kept = []
    for rank in range(job.size):
        with numpy.load(str(job.folder / ('%s-%d.npz' % (name, rank)))) as file:
            kept.append([file['arr_%d' % i] for i in range(len(file.files))])
    return kept


@needs_horovod
def test_averaged_gradients_are_the_mean_and_the_same_on_every_rank(job, assert_same):
    own, averaged = arrays(job, 'own'), arrays(job, 'averaged')
    assert len(averaged[0]) == 10
    names = list(map(str, range(10)))
    for rank in range(job.size):
        for one, first in zip(averaged[rank], averaged[0]):
            assert numpy.array_equal(one, first)
    assert_same(names, averaged[0], [numpy.mean(one, axis=0) for one in zip(*own)], rtol=1e-5)
    with pytest.raises(AssertionError):                  # each rank has gradients of its own
        assert_same(names, averaged[0], own[0], rtol=1e-2)


@needs_horovod
def test_the_model_is_rank_0s_and_the_images_are_each_ranks_own(job):
    variables, images = arrays(job, 'variables'), arrays(job, 'images')
    for rank in range(1, job.size):
        for one, first in zip(variables[rank], variables[0]):
            assert numpy.array_equal(one, first)
        assert not numpy.array_equal(images[rank][0], images[0][0])


@needs_horovod
def test_the_record_of_a_job(job):
    with open(os.path.join(ROOT, 'common', 'record.schema.json')) as file:
        jsonschema.validate(job.record, json.load(file))
    assert job.record['processes'] == {
        'size': job.size, 'hosts': {job.record['environment']['host']: job.size},
        'horovod': '0.28.1', 'backend': 'gloo'}
    forward, both = job.record['results']
    for result in (forward, both):
        found = result['scaling']
        assert result['batch_size'] == 1
        assert found['images_per_s'] == pytest.approx(job.size / result['mean_s'])
        assert found['efficiency'] == pytest.approx(found['alone']['mean_s'] / result['mean_s'])
        assert [rank['rank'] for rank in found['ranks']] == list(range(job.size))
        slowest = map(max, zip(*(rank['samples_s'] for rank in found['ranks'])))
        assert result['samples_s'] == list(slowest)
        assert len(found['alone']['samples_s']) == 4
    assert forward['scaling']['without_allreduce'] is None
    assert forward['scaling']['allreduces'] == {'executed': 0, 'graph': 0}
    assert both['scaling']['allreduces'] == {'executed': 10, 'graph': 10}
    assert both['scaling']['reduced_bytes'] == 4 * 2469696
    assert both['scaling']['communication_share'] == pytest.approx(
        1 - both['scaling']['without_allreduce']['mean_s'] / both['mean_s'])


@needs_horovod
def test_rank_0_alone_prints(job):
    lines = job.finished.out.splitlines()
    assert all(line.startswith('[0]<stdout>:') for line in lines)
    assert '<stderr>' not in job.finished.error
    text = '\n'.join(lines)
    for name in ('Forward', 'Forward-backward'):
        assert len(re.findall('>:[^>]*: %s across 4 steps, ' % name, text)) == 1
        assert len(re.findall('>:%s: [^>]* on each of %d processes' % (name, job.size), text)) == 1
    assert text.count('scaling efficiency') == 2
    assert '9.88 MB of gradients reduced a step in 10 allreduces' in text


@needs_horovod
@pytest.mark.parametrize('fault, said', [
    ('other options', '--batch_size is 1 on rank 0, 2 on rank 1'),
    ('other version', 'TensorFlow is %s on rank 0, 1.15.9 on rank 1' % tf1.VERSION)])
def test_ranks_that_do_not_run_the_same_are_refused_at_the_start(fault, said, tmp_path):
    finished = run(2, fault, tmp_path)
    assert finished.code != 0
    assert 'rank 0: The ranks do not run the same: ' + said in finished.error
    assert 'duration' not in finished.out


@needs_horovod
@pytest.mark.parametrize('fault, environment, said', [
    ('never arrives', {'HOROVOD_START_TIMEOUT': '3'},
     'rank 0: rank 1 did not arrive within 3 s of rank 0'),
    ('dies', {}, 'Process name: 1\nExit code: 137'),
    ('fails', {}, 'rank 1: no memory is left'),
    ('freezes', {'HOROVOD_GLOO_TIMEOUT_SECONDS': '3'}, 'rank 0: rank 1 is lost: it died or hangs'),
    ('hangs', {'HOROVOD_STALL_SHUTDOWN_TIME_SECONDS': '2'},
     'rank 0: rank 1 is lost: it was waited for for 2 s')])
def test_a_lost_rank_ends_the_job_and_is_named(fault, environment, said, tmp_path):
    finished = run(2, fault, tmp_path, **environment)
    assert finished.code != 0
    assert said in finished.error
    assert finished.seconds < 90


@needs_horovod
def test_gradients_that_are_not_the_same_on_every_rank_are_a_fault(tmp_path):
    finished = run(2, 'other gradients', tmp_path)
    assert finished.code != 0
    assert "INVALID: the averaged gradients of rank 1 are not rank 0's" in finished.out


@needs_horovod
def test_gradients_that_are_not_reduced_are_a_fault(tmp_path):
    finished = run(2, 'no allreduce', tmp_path)
    assert finished.code != 0
    assert ('INVALID: the step executed 0 allreduces, the graph has 0, and 10 gradients are to be '
            'reduced') in finished.out


@needs_horovod
def test_ctrl_c_leaves_no_process_and_keeps_the_finished_steps(tmp_path):
    path = tmp_path / 'record.json'
    process, name = start(2, 'sound', tmp_path, ['--num_batches', '1000000', '--json', str(path)])
    try:
        for line in process.stdout:
            if 'step 10,' in line:
                break
        assert len(left(name)) > 2
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)                  # its exit code is its own: 1, seldom 0
        assert left(name) == []
    finally:
        for pid in left(name):
            os.kill(int(pid), signal.SIGKILL)
    written = json.loads(path.read_text())
    assert written['status'] == 'interrupted'
    assert len(written['results'][0]['samples_s']) > 10
