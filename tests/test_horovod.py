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
import types
import uuid

import numpy
import pytest

import alexnet_benchmark
from common import record, report, tf1
from common.cautions import Caution
from common.horovod import join, launch, liveness
from common.machine import device, nvidia
from common.probes import ranks
from common.stop import Stop
from common.timing import Timing
from suite.peers import command as peers
from suite.records import validator
from suite.run import command as run_all
from tests import fake_job

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOROVOD = ('HOROVOD_RANK', 'HOROVOD_SIZE', 'HOROVOD_LOCAL_RANK', 'HOROVOD_LOCAL_SIZE')
SHORT = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '4', '--num_steps_burn_in', '1',
         '--intra_op_threads', '1', '--inter_op_threads', '1']
MINUTES_S = 300                      # for what takes seconds on an idle machine


def needs_horovod(test):
    """Real jobs are slow, and need Horovod."""
    return pytest.mark.slow(pytest.mark.skipif(
        importlib.util.find_spec('horovod') is None,
        reason='Horovod is not installed (make horovod)')(test))


# What the launcher says

@pytest.mark.parametrize('environment, rank', [
    ({}, None),
    ({'HOROVOD_RANK': '1'}, None),
    (dict(zip(HOROVOD, '3412')), (3, 4, 1, 2)),
    ({'OMPI_COMM_WORLD_RANK': '5', 'OMPI_COMM_WORLD_SIZE': '8', 'OMPI_COMM_WORLD_LOCAL_RANK': '1',
      'OMPI_COMM_WORLD_LOCAL_SIZE': '4'}, (5, 8, 1, 4))])
def test_the_launcher_says_which_rank_it_is(environment, rank):
    assert launch.current(environment) == rank
    assert launch.is_launched(environment) == (rank is not None)


@pytest.mark.parametrize('environment, named', [
    ({'PMI_RANK': '0', 'PMI_SIZE': '2'}, 'PMI_SIZE is 2'),               # MPICH
    ({'MPI_LOCALRANKID': '1'}, 'MPI_LOCALRANKID is 1'), ({'PMIX_RANK': '3'}, 'PMIX_RANK is 3'),
    ({'MV2_COMM_WORLD_RANK': '0', 'MV2_COMM_WORLD_SIZE': '4'}, 'MV2_COMM_WORLD_SIZE is 4'),
    ({'SLURM_PROCID': '0', 'SLURM_NTASKS': '4', 'SLURM_STEP_NUM_TASKS': '4'},        # srun
     'SLURM_STEP_NUM_TASKS is 4'),
    ({'SLURM_PROCID': '0', 'SLURM_NTASKS': '4'}, None),                  # a plain run in sbatch
    ({'SLURM_PROCID': '0', 'SLURM_STEP_NUM_TASKS': '1', 'PMI_SIZE': '1', 'PMI_RANK': '0'}, None),
    ({'PMI_SIZE': 'x'}, None),
    (dict(zip(HOROVOD, '3412'), PMI_SIZE='4', SLURM_STEP_NUM_TASKS='4'), None)])
def test_a_job_of_another_launcher_is_refused(environment, named):
    if not named:
        launch.current(environment)
        return
    with pytest.raises(Stop) as stop:
        launch.current(environment)
    assert (stop.value.code, stop.value.text.partition(':')[0]) == (3, named)


@pytest.mark.parametrize('values, said', [
    (['one', '4', '1', '2'], "HOROVOD_RANK is 'one': it must be an integer from 0 to 3."),
    (['4', '4', '1', '2'], "HOROVOD_RANK is '4': it must be an integer from 0 to 3."),
    (['-1', '4', '1', '2'], "HOROVOD_RANK is '-1': it must be an integer from 0 to 3."),
    (['1', '', '1', '2'], "HOROVOD_SIZE is '': it must be an integer of at least 1."),
    (['1', '4', '2', '2'], "HOROVOD_LOCAL_RANK is '2': it must be an integer from 0 to 1."),
    (['1', '4', '1', '5'], "HOROVOD_LOCAL_SIZE is '5': it must be an integer from 1 to 4.")])
def test_a_variable_that_no_launcher_sets_so_is_bad_usage(values, said, monkeypatch, capsys):
    for name, value in zip(HOROVOD, values):
        monkeypatch.setenv(name, value)
    assert alexnet_benchmark.main(SHORT) == 2
    error = capsys.readouterr().err
    assert error.startswith(said) and len(error.splitlines()) == 1


@pytest.fixture
def launched(monkeypatch):
    """This process is rank 1 of 4, the second of its host's two."""
    for name, value in zip(HOROVOD, '1412'):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize('given, gpus, left', [
    (None, 2, '1'), (None, 8, '1'), ('4,6', 8, '6'), ('4, 6', 8, '6'), ('0,1,1', 2, '1'),
    ('GPU-aa,GPU-bb,GPU-cc', 3, 'GPU-bb'),
    ('', 2, ''), ('-1', 2, '-1'),                        # hidden: a job on the CPU
    (None, 0, None), ('', 0, ''), ('0', 0, '0'), ('0,0', 0, '0,0'),
    ('NoDevFiles', 0, 'NoDevFiles')])                    # left over: there is no GPU
def test_each_process_has_the_gpu_of_its_local_rank(given, gpus, left, launched, monkeypatch):
    monkeypatch.setattr(nvidia, 'has_driver_library', lambda: False)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')       # put back at the end
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    if given is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given)
    monkeypatch.setattr(nvidia, 'count', lambda: gpus)
    launch.pin(launch.current(), 'auto')
    assert os.environ.get('CUDA_VISIBLE_DEVICES') == left


@pytest.mark.parametrize('given, gpus, said', [
    (None, 1, 'has 1 GPU (CUDA_VISIBLE_DEVICES=not set)'),
    ('3', 8, 'has 1 GPU (CUDA_VISIBLE_DEVICES=3)'),
    ('3,-1,4', 8, 'has 1 GPU (CUDA_VISIBLE_DEVICES=3,-1,4)')])
def test_fewer_gpus_than_processes_is_said_and_exit_code_3(given, gpus, said, launched, monkeypatch,
                                                          capsys):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if given:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given)
    monkeypatch.setattr(nvidia, 'count', lambda: gpus)
    assert alexnet_benchmark.main([]) == 3
    error = capsys.readouterr().err
    assert error.startswith('rank 1: 2 processes were started on ')
    assert said in error and '-H host:1' in error


@pytest.mark.parametrize('given', ['0,0', '0,00', '0, +0'])
def test_two_ranks_never_share_a_gpu(given, launched, monkeypatch, capsys):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given)
    monkeypatch.setattr(nvidia, 'count', lambda: 2)
    assert alexnet_benchmark.main([]) == 3
    assert capsys.readouterr().err.startswith(
        'rank 1: CUDA_VISIBLE_DEVICES=%s lists a GPU twice: two of the 2 processes on ' % given)


def test_where_nobody_counts_the_gpus_each_process_still_has_its_own(launched, monkeypatch):
    """In a container without nvidia-smi, or on a Jetson."""
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')       # put back at the end
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    monkeypatch.setattr(nvidia, 'count', lambda: 0)
    monkeypatch.setattr(nvidia, 'has_driver_library', lambda: True)
    launch.pin(launch.current(), 'auto')
    assert os.environ['CUDA_VISIBLE_DEVICES'] == '1'


def test_variables_left_over_from_a_job_are_named(launched, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'horovod.tensorflow', types.ModuleType('horovod.tensorflow'))
    monkeypatch.delenv('HOROVOD_GLOO_RENDEZVOUS_ADDR', raising=False)
    assert alexnet_benchmark.main(SHORT) == 3
    assert capsys.readouterr().err == (
        'rank 1: HOROVOD_SIZE is 4, but horovodrun did not start this process '
        '(HOROVOD_GLOO_RENDEZVOUS_ADDR is not set): start it with horovodrun, or for a run of one '
        'process unset HOROVOD_RANK, HOROVOD_SIZE, HOROVOD_LOCAL_RANK, HOROVOD_LOCAL_SIZE.\n')


@pytest.mark.parametrize('flags', [['--xla'], ['--precision', 'mixed'], ['--profile'],
                                   ['--trace', 'trace.json']])
def test_what_is_of_one_process_alone_is_refused(flags, launched, capsys):
    assert alexnet_benchmark.main(SHORT + flags) == 2
    error = capsys.readouterr().err
    assert 'argument %s: not allowed with more than one process' % flags[0] in error


@pytest.mark.parametrize('script', [run_all, peers])
def test_what_starts_processes_of_its_own_is_refused(script, launched, capsys):
    assert script.main([]) == 2
    assert 'use horovodrun or mpirun to start one of the four scripts' in capsys.readouterr().err


def test_without_horovod_the_command_that_installs_it_is_named(launched, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'horovod.tensorflow', None)
    assert alexnet_benchmark.main(SHORT) == 3
    error = capsys.readouterr().err
    assert error.startswith('rank 1: ') and len(error.splitlines()) == 1
    assert '`make horovod RUNTIME=%s`' % tf1.RUNTIME in error


def test_what_differs_is_named_with_its_ranks():
    same = {'the script': 'vgg16_benchmark.py', '--batch_size': 32, 'numpy': '1.18.5'}
    assert join.disagreement([same, same]) is None
    sentence = join.disagreement([same, dict(same, numpy='1.16.0'), same,
                                  dict(same, **{'--batch_size': 16})])
    assert sentence.startswith(
        'The ranks do not run the same: --batch_size is 32 on ranks 0, 1, 2, 16 on rank 3; numpy '
        'is 1.18.5 on ranks 0, 2, 3, 1.16.0 on rank 1. ')
    assert 'script' not in sentence


# Who is there

RANK = launch.Rank(0, 3, 0, 3)                           # of the tests, next to rank 1


class FakeStore(dict):
    """horovodrun's store, by (topic, rank). `beats` are what rank 1 says on being asked for its
    beat, one after the other, the last again and again."""

    def __init__(self, *beats):
        super().__init__()
        self.beats = list(beats)

    def put(self, topic, rank, words):
        self[topic, rank] = words

    def get(self, topic, rank):
        if topic == 'beat' and self.beats:
            return self.beats.pop(0) if len(self.beats) > 1 else self.beats[0]
        return super().get((topic, rank))


class DeadStore:
    """The store of a horovodrun that has ended."""

    def put(self, topic, rank, words):
        raise ConnectionRefusedError

    def get(self, topic, rank):
        raise ConnectionRefusedError


class Clock:
    """A clock that advances only during a wait."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s

    def wait(self, seconds):
        self.now_s += seconds


def test_ranks_that_do_not_run_the_same_are_refused_at_the_start(monkeypatch):
    monkeypatch.setenv('HOROVOD_GLOO_RENDEZVOUS_ADDR', 'here')
    monkeypatch.setattr(join, '_horovod', lambda: None)
    monkeypatch.setattr(join, '_version', lambda: '0.28.1')
    store, cpu, script = FakeStore(), device.Device('cpu', 'X', 'X'), 'alexnet_benchmark.py'
    monkeypatch.setattr(liveness, 'store', lambda: store)
    other = join._describe(cpu, script, {'batch_size': 2})
    other['same']['tensorflow'] = '1.15.9'
    store['arrival', 1] = json.dumps(other)
    with pytest.raises(Stop) as refused:
        with join.joined(launch.Rank(0, 2, 0, 2), cpu, script, {'batch_size': 1}):
            raise AssertionError('the job began')
    assert str(refused.value).startswith(
        'The ranks do not run the same: tensorflow is %s on rank 0, 1.15.9 on rank 1; '
        '--batch_size is 1 on rank 0, 2 on rank 1.' % tf1.VERSION)


def call(store, within_s, clock):
    return liveness.roll_call(store, RANK, 'x', 'zero', within_s, clock, clock.wait)


def test_a_roll_call_ends_when_all_have_answered():
    store, clock = FakeStore(), Clock()
    store.update({('x', 1): 'one', ('x', 2): 'two'})
    assert call(store, 600, clock) == {0: 'zero', 1: 'one', 2: 'two'}
    assert store['x', 0] == 'zero'
    assert clock.now_s == 1000


def test_a_roll_call_waits_for_an_answer():
    store, clock = FakeStore(), Clock()
    store['x', 1] = 'one'

    def wait(seconds):
        clock.wait(seconds)
        if clock.now_s > 1500:
            store['x', 2] = 'two'
    assert liveness.roll_call(store, RANK, 'x', 'zero', 600, clock, wait) == {
        0: 'zero', 1: 'one', 2: 'two'}
    assert 1500 < clock.now_s < 1501


def test_a_roll_call_does_not_wait_longer_than_it_says():
    store, clock = FakeStore(), Clock()
    store['x', 1] = 'one'
    assert call(store, 5, clock) == {0: 'zero', 1: 'one'}
    assert 1005 <= clock.now_s < 1006


def test_nobody_answers_where_the_store_is_gone():
    assert call(DeadStore(), 600, Clock()) == {0: 'zero'}


def test_only_horovodrun_has_a_store(monkeypatch):
    monkeypatch.delenv('HOROVOD_GLOO_RENDEZVOUS_ADDR', raising=False)
    assert liveness.store() is None


def test_the_first_rank_that_answers_names_the_others():
    answers = {1: '', 2: ''}
    assert [liveness.absent(launch.Rank(rank, 5, rank, 5), answers, 'did not come')
            for rank in (1, 2)] == ['ranks 0, 3, 4 did not come.', '']


def verdict(beats, entered=0):
    """Feeds a Watchdog a beat every ten seconds, the last again and again, for a day; returns
    after how many seconds it calls the rank lost, and why. None, None: never."""
    watchdog, last = liveness.Watchdog(None, RANK, None, None, 0), None
    beats = iter(beats)
    for now_s in range(10, 86400, 10):
        last = next(beats, last)
        reason = watchdog.hear(last, entered, now_s)
        if reason:
            return now_s, reason
    return None, None


def beats(exchanges):
    """The beats of a day; `exchanges` gives the number of exchanges by that of the beat."""
    return ['%d %d' % (number, exchanges(number)) for number in range(1, 8640)]


@pytest.mark.parametrize('heard, after_s', [
    ([], 70), (['1 0'], 80), (['1 0', '2 0', '3 0'], 100),
    ([None] * 6 + ['1 0'], 140)])                        # the first beat came just in time
def test_a_rank_that_falls_silent_is_lost(heard, after_s):
    assert verdict(heard) == (after_s, 'nothing was heard from it for 60 s')


@pytest.mark.parametrize('exchanges, after_s', [
    (lambda number: 7, 320),                             # behind from its first beat on
    (lambda number: min(number, 7), 380)])               # it has moved on, up to 7 of 8
def test_a_rank_that_the_others_wait_for_is_lost(exchanges, after_s):
    assert verdict(beats(exchanges), entered=8) == (after_s, 'the others have waited 300 s for it')


@pytest.mark.parametrize('heard, entered', [
    (beats(lambda number: 8), 8),                        # both wait, or work
    (beats(lambda number: 9), 8),                        # it waits for this one
    (beats(lambda number: number // 20), 10000),         # it follows, one exchange in 200 s
    (['1 8', 'ended'], 9)])
def test_a_rank_that_lives_is_not_lost(heard, entered):
    assert verdict(heard, entered) == (None, None)


@pytest.fixture(autouse=True)
def alarms(monkeypatch):
    """The times after which the kernel would have ended the process, in seconds."""
    times = []
    monkeypatch.setattr(liveness.signal, 'alarm', times.append)
    return times


@pytest.fixture
def exit_codes(monkeypatch):
    """The exit codes with which the process would have been ended."""
    codes = []
    monkeypatch.setattr(liveness.os, '_exit', codes.append)
    return codes


@pytest.mark.parametrize('end_s, code, said', [
    (0, [3], 'rank 0: rank 1 is lost: nothing was heard from it for -1 s. The job ends.\n'),
    (MINUTES_S, [], '')])                                # the main thread ends, with the sentence
@pytest.mark.parametrize('store', [FakeStore(None), DeadStore()])
def test_a_lost_rank_ends_the_job(store, end_s, code, said, exit_codes, alarms, monkeypatch,
                                  capsys):
    for name, value in ('BEAT_S', 0.001), ('SILENT_S', -1), ('END_S', end_s):
        monkeypatch.setattr(liveness, name, value)
    shut_down = threading.Event()
    with liveness.Watchdog(store, RANK, shut_down.set, lambda: 8, 0) as watchdog:
        assert shut_down.wait(MINUTES_S)
        if code:
            watchdog._thread.join()
        monkeypatch.setattr(liveness, 'BEAT_S', MINUTES_S)
    assert watchdog.lost == 'rank 1 is lost: nothing was heard from it for -1 s. The job ends.'
    assert (exit_codes, alarms, capsys.readouterr().err) == (code, [liveness.KILL_S], said)


def test_the_limit_of_a_stall_is_horovods_variable(monkeypatch):
    monkeypatch.setenv('HOROVOD_STALL_SHUTDOWN_TIME_SECONDS', '400')
    assert verdict(beats(lambda number: 7), entered=8) == (
        420, 'the others have waited 400 s for it')


def test_a_rank_beats_until_its_block_ends(monkeypatch):
    for name, value in ('BEAT_S', 0.001), ('SILENT_S', 1e9), ('STALL_S', 1e9):
        monkeypatch.setattr(liveness, name, value)
    beating = threading.Event()
    store = FakeStore()
    with liveness.Watchdog(store, RANK, None, lambda: beating.set() or 8, 0) as watchdog:
        assert beating.wait(MINUTES_S)
    assert store['beat', 0] == 'ended'
    assert not watchdog.lost


@pytest.mark.parametrize('store, rank', [(None, RANK), (DeadStore(), launch.Rank(0, 1, 0, 1))])
def test_no_watchdog_runs_without_a_store_or_other_ranks(store, rank):
    with liveness.Watchdog(store, rank, None, None, 0) as watchdog:
        assert not watchdog._thread.is_alive()


@pytest.mark.parametrize('message, lost, answers, said', [
    ('no memory is left', 'rank 1 is lost: x.', {0: ''}, None),      # of this rank itself
    ('Horovod has been shut down', 'rank 1 is lost: x.', {0: ''}, 'rank 1 is lost: x.'),
    ('Horovod has been shut down', None, {0: '', 1: 'rank 2 is lost: x.'}, 'rank 2 is lost: x.'),
    ('HorovodAllreduce failed', None, {0: '', 1: '', 2: ''}, None),
    ('Graph execution error:\n\n[gloo] Timed out\nin detail', None, {0: '', 2: ''},
     'rank 1 is lost: it died or hangs (Horovod: [gloo] Timed out).')])
def test_an_error_of_horovod_is_a_lost_rank_if_one_does_not_answer(message, lost, answers, said,
                                                                  monkeypatch):
    monkeypatch.setattr(liveness, 'roll_call', lambda *args: answers)
    job = join.Job(None, RANK, [{'host': 'a', 'device': 'X', 'same': {'device': 'cpu'}}],
                   FakeStore(), argparse.Namespace(lost=lost))
    error = tf1.tf.errors.InternalError(None, None, message)
    with pytest.raises(type(error) if said is None else Stop) as raised:
        with ranks.naming_the_lost(job):
            raise error
    if said is not None:
        assert raised.value.text == said


def test_ctrl_c_that_comes_while_the_others_are_asked_is_no_failure(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(liveness, 'roll_call', interrupted)
    job = join.Job(None, RANK, [{'host': 'a', 'device': 'X', 'same': {'device': 'cpu'}}],
                   FakeStore(), argparse.Namespace(lost=None))
    log = {'status': 'running'}
    with pytest.raises(KeyboardInterrupt):
        with record.saved(log, None), ranks.naming_the_lost(job):
            raise tf1.tf.errors.InternalError(None, None, 'Horovod has been shut down')
    assert log == {'status': 'interrupted'}


# What is made of the steps

def scaling(own_columns, without=(0.9, 0.9), alone=(0.8, 0.8)):
    columns = [[1.0, 1.1], [1.0, 1.0], [1.0, 1.0]]
    places = [{'rank': rank, 'host': 'host%d' % (rank // 2), 'device': 'GPU X'}
              for rank in range(3)]
    return ranks.summary(places, Timing('Forward-backward', [1.0, 1.1]), columns, own_columns,
                         Timing('without', without) if without else None, Timing('alone', alone))


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
    places = [{'rank': rank, 'host': 'a', 'device': 'X'} for rank in range(2)]
    sentence, = ranks.stragglers(places, [[2.0], [1.0]])
    assert sentence.startswith('rank 0 ')


def test_a_straggler_is_a_caution_and_is_printed_once():
    with open(os.path.join(ROOT, 'results', 'cpu-2-cores-2-processes', 'alexnet.json')) as file:
        entry = fake_job.job(json.load(file), 2)['results'][1]
    sentence, = entry['scaling']['stragglers']
    caution, = [one for one in ranks.cautions_after(entry['scaling']) if one.kind == 'straggler']
    assert caution.text == sentence
    assert caution._asdict() in entry['warnings']
    lines = report.result(entry)
    assert lines.count('  caution: ' + sentence) == 1
    assert '\n'.join(lines).count(sentence) == 1


def test_different_devices_are_shown():
    places = [{'host': 'a', 'device': name} for name in 'XYX']
    job = {'size': 3, 'hosts': {'a': 3}, 'horovod': '0.28.1', 'backend': 'nccl'}
    assert report.processes(job, places) == ('Processes: 3 (2 on a: X, 1 on a: Y); Horovod 0.28.1, '
                                            'gradients over nccl')


@pytest.mark.parametrize('executed, graph, gradients, sound', [
    (10, 10, 10, True), (0, 0, 0, True), (0, 10, 10, False), (9, 10, 10, False), (0, 0, 10, False)])
def test_a_gradient_that_is_not_reduced_is_a_fault(executed, graph, gradients, sound):
    faults = ranks.not_reduced({'executed': executed, 'graph': graph}, gradients)
    assert faults == [] if sound else [
        'the step executed %d allreduces, the graph has %d, and %d gradients are to be reduced'
        % (executed, graph, gradients)]


@pytest.mark.parametrize('on_gpu, nccl, ranks_by_host, kinds', [
    (True, True, 2, []), (True, False, 2, ['backend']), (False, False, 2, ['shared']),
    (False, False, 1, [])])
def test_why_a_job_will_not_show_how_the_network_scales(on_gpu, nccl, ranks_by_host, kinds,
                                                       monkeypatch):
    hvd = argparse.Namespace(nccl_built=lambda: nccl, gloo_enabled=lambda: True)
    monkeypatch.setattr(join, '_version', lambda: '0.28.1')
    job = join.Job(hvd, launch.Rank(0, 2, 0, 2), [
        {'host': 'host%d' % (rank // ranks_by_host), 'device': 'X',
         'same': {'device': 'gpu' if on_gpu else 'cpu'}} for rank in range(2)])
    assert job.processes['backend'] == ('nccl' if on_gpu and nccl else 'gloo')
    assert sum(job.processes['hosts'].values()) == job.processes['size'] == 2
    assert [caution.kind for caution in ranks.cautions_before(job)] == kinds


def test_a_job_of_one_process_is_said_to_be_one(monkeypatch):
    monkeypatch.setattr(join, '_version', lambda: '0.28.1')
    job = join.Job(argparse.Namespace(gloo_enabled=lambda: True), launch.Rank(0, 1, 0, 1),
                   [{'host': 'host0', 'device': 'X', 'same': {'device': 'cpu'}}])
    assert [caution.kind for caution in ranks.cautions_before(job)] == ['alone']


def test_there_are_cautions_about_the_steps_that_a_job_is_compared_with():
    quiet, noisy = {'samples_s': [0.1] * 30}, {'samples_s': [0.5] + [0.1] * 29}
    few = {'samples_s': [0.1] * 3}
    assert ranks.cautions_after({'without_allreduce': None, 'alone': few, 'stragglers': []}) == []
    one, = ranks.cautions_after({'without_allreduce': noisy, 'alone': quiet, 'stragglers': []})
    assert one.kind == 'outliers'
    assert one.text.startswith('without the allreduce: step 0, 500 ms, raises the mean by ')


def test_a_rank_also_reports_what_is_wrong_on_the_others():
    shared, hot = ['drift', 'it drifts'], ['clock', 'it is hot']
    exchange = argparse.Namespace(gather=lambda value: [value, [['it is wrong'], [shared, hot]]])
    job = argparse.Namespace(rank=launch.Rank(0, 2, 0, 2), exchange=exchange)
    assert ranks.of_all_ranks(job, ['mine is wrong'], [Caution(*shared)]) == (
        ['mine is wrong', 'rank 1: it is wrong'],
        [Caution(*shared), Caution('clock', 'rank 1: it is hot')])


def test_the_share_of_communication_has_an_interval():
    entry = {'mean_s': 1.0, 'statistics': {'mean_s': 1.0, 'ci95_s': [0.99, 1.01]},
             'scaling': {'without_allreduce': {'mean_s': 0.9, 'ci95_s': [0.89, 0.91]}}}
    assert report._share_interval(entry) == ' (95 % interval 8.6 to 11.3)'
    entry['statistics']['ci95_s'] = [0.8, 1.2]
    assert 'it cannot be told from 0' in report._share_interval(entry)
    entry['scaling']['without_allreduce']['ci95_s'] = None
    assert report._share_interval(entry) == ''


# Real jobs

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
    """The processes of the job that still run."""
    found = []
    for path in glob.glob('/proc/[0-9]*/environ'):
        try:
            with open(path, 'rb') as file:
                if name.encode() in file.read():
                    found.append(path.split('/')[2])
        except OSError:
            pass
    return found


def finish(process, name):
    """Waits for the end of a job, which must come, and after which no process may be left."""
    try:
        out, error = process.communicate(timeout=MINUTES_S)
        assert left(name) == []
    finally:
        for pid in left(name):
            os.kill(int(pid), signal.SIGKILL)
    return argparse.Namespace(code=process.returncode, out=out, error=error)


def run(size, fault, folder, *flags, **environment):
    return finish(*start(size, fault, folder, list(flags), **environment))


LOST = {
    'never arrives': 'rank 0: rank 1 did not arrive within 3 s of rank 0',
    'dies': 'Process name: 1\nExit code: 137',
    'freezes': 'rank 0: rank 1 is lost: it died or hangs (Horovod: ',
    'hangs': 'rank 0: rank 1 is lost: the others have waited 2 s for it. The job ends.'}


@pytest.fixture(scope='module')
def lost(tmp_path_factory):
    """The jobs in which a rank is lost, by the fault. They are started before the other jobs,
    because they spend most of their time waiting."""
    folder = tmp_path_factory.mktemp('lost')
    started = {fault: start(2, fault, folder, []) for fault in LOST}
    yield started
    for process, name in started.values():
        for pid in left(name):
            os.kill(int(pid), signal.SIGKILL)
        process.wait()


@pytest.fixture(scope='module')
def job(tmp_path_factory, lost):
    """A job without faults: its size, folder, output and record. Three ranks, because with two a
    mean and half of a sum are the same; operations, which must not be pruned."""
    size, folder = 3, tmp_path_factory.mktemp('job')
    finished = run(size, 'none', folder, '--fetch', 'ops', '--json', str(folder / 'record.json'))
    assert finished.code == 0, finished.error
    with open(str(folder / 'record.json')) as file:
        return argparse.Namespace(size=size, folder=folder, finished=finished,
                                  record=json.load(file))


def arrays(job, name):
    """The arrays of each rank: a list by rank."""
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
    validator('record', strict=True)(job.record)
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
        assert len(re.findall(r'>:  %s  +[\d.]+' % name, text)) == 1        # in the table
    assert 'AlexNet with LRN, batch 1 on each of %d processes, float32' % job.size in text
    assert text.count('scaling efficiency') == 2
    assert '9.88 MB of gradients reduced a step in 10 allreduces' in text


@needs_horovod
@pytest.mark.parametrize('fault', LOST)
def test_a_lost_rank_ends_the_job_and_is_named(fault, lost):
    finished = finish(*lost[fault])
    assert finished.code != 0
    assert LOST[fault] in finished.error


@needs_horovod
def test_gradients_that_are_not_reduced_and_not_the_same_on_every_rank_are_faults(tmp_path):
    finished = run(2, 'no allreduce', tmp_path)
    assert finished.code != 0
    assert ('INVALID: Forward-backward: the step executed 0 allreduces, the graph has 0, and 10 '
            'gradients are to be reduced') in finished.out
    assert ("INVALID: Forward-backward: the averaged gradients of rank 1 are not rank 0's"
            in finished.out)


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
        process.communicate(timeout=MINUTES_S)           # its exit code is its own: 1, seldom 0
        assert left(name) == []
    finally:
        for pid in left(name):
            os.kill(int(pid), signal.SIGKILL)
    written = json.loads(path.read_text())
    assert written['status'] == 'interrupted'
    assert len(written['results'][0]['samples_s']) > 10
