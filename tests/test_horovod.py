"""Jobs of several processes: real ones on the CPU, over gloo, where Horovod is installed."""
import argparse
import contextlib
import glob
import importlib.util
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
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

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHORT = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '4', '--num_steps_burn_in', '1',
         '--intra_op_threads', '1', '--inter_op_threads', '1']
MINUTES_S = 300                      # for what takes seconds on an idle machine
RANK = launch.Rank(0, 3, 0, 3)       # of the tests, next to rank 1
CPU = {'host': 'a', 'device': 'X', 'same': {'device': 'cpu'}}


def needs_horovod(test):
    """Real jobs are slow, and need Horovod."""
    return pytest.mark.slow(pytest.mark.skipif(
        importlib.util.find_spec('horovod') is None,
        reason='Horovod is not installed (make horovod)')(test))


# What the launcher says

def by_horovodrun(rank, size, local_rank, local_size, **others):
    """The environment of a process that horovodrun started."""
    return dict(HOROVOD_RANK=rank, HOROVOD_SIZE=size, HOROVOD_LOCAL_RANK=local_rank,
                HOROVOD_LOCAL_SIZE=local_size, HOROVOD_GLOO_RENDEZVOUS_ADDR='here', **others)


LEFT_OVER = by_horovodrun(*'3412')
del LEFT_OVER['HOROVOD_GLOO_RENDEZVOUS_ADDR']
NAMES = 'HOROVOD_RANK, HOROVOD_SIZE, HOROVOD_LOCAL_RANK, HOROVOD_LOCAL_SIZE'


@pytest.mark.parametrize('environment, rank', [
    ({}, None),
    ({'HOROVOD_RANK': '1'}, None),
    (by_horovodrun(*'3412'), (3, 4, 1, 2)),
    (by_horovodrun(*'3412', PMI_SIZE='4', SLURM_STEP_NUM_TASKS='4'), (3, 4, 1, 2)),
    ({'OMPI_COMM_WORLD_RANK': '5', 'OMPI_COMM_WORLD_SIZE': '8', 'OMPI_COMM_WORLD_LOCAL_RANK': '1',
      'OMPI_COMM_WORLD_LOCAL_SIZE': '4'}, (5, 8, 1, 4)),
    ({'SLURM_PROCID': '0', 'SLURM_NTASKS': '4'}, None),                  # a plain run in sbatch
    ({'SLURM_PROCID': '0', 'SLURM_STEP_NUM_TASKS': '1', 'PMI_SIZE': '1', 'PMI_RANK': '0'}, None),
    ({'PMI_SIZE': 'x'}, None)])
def test_the_launcher_says_which_rank_it_is(environment, rank):
    assert launch.current(environment) == rank
    assert launch.is_launched(environment) == (rank is not None)


@pytest.mark.parametrize('environment, code, said', [
    (by_horovodrun('one', '4', '1', '2'), 2, "The values of %s are 'one', '4', '1', '2': they must "
     'be integers, each rank below its size.' % NAMES),
    (by_horovodrun(*'4412'), 2, 'The values'), (by_horovodrun('-1', *'412'), 2, 'The values'),
    (by_horovodrun('1', '', *'12'), 2, 'The values'), (by_horovodrun(*'1422'), 2, 'The values'),
    (by_horovodrun(*'1415'), 2, 'The values'),
    (LEFT_OVER, 3, 'HOROVOD_SIZE is 4, but horovodrun did not start this process '
     '(HOROVOD_GLOO_RENDEZVOUS_ADDR is not set): start it with horovodrun, or for a run of one '
     'process unset %s.' % NAMES),
    ({'PMI_RANK': '0', 'PMI_SIZE': '2'}, 3, 'PMI_SIZE is 2: a launcher'),            # MPICH
    ({'MPI_LOCALRANKID': '1'}, 3, 'MPI_LOCALRANKID is 1: a launcher'),
    ({'PMIX_RANK': '3'}, 3, 'PMIX_RANK is 3: a launcher'),
    ({'MV2_COMM_WORLD_RANK': '0', 'MV2_COMM_WORLD_SIZE': '4'}, 3, 'MV2_COMM_WORLD_SIZE is 4: a '),
    ({'SLURM_PROCID': '0', 'SLURM_NTASKS': '4', 'SLURM_STEP_NUM_TASKS': '4'}, 3,     # srun
     'SLURM_STEP_NUM_TASKS is 4: a launcher')])
def test_variables_that_start_no_rank_are_refused(environment, code, said, monkeypatch, capsys):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert alexnet_benchmark.main(SHORT) == code
    error = capsys.readouterr().err
    assert error.startswith(said) and len(error.splitlines()) == 1


@pytest.fixture
def launched(monkeypatch):
    """This process is rank 1 of 4, the second of its host's two."""
    for name, value in by_horovodrun(*'1412').items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize('given, gpus, has_driver, left', [
    (None, 2, True, '1'), (None, 8, True, '1'), ('4,6', 8, True, '6'), ('4, 6', 8, True, '6'),
    ('0,1,1', 2, True, '1'), ('GPU-aa,GPU-bb,GPU-cc', 3, True, 'GPU-bb'),
    (None, 0, True, '1'),            # nobody counts them: in a container, or on a Jetson
    ('', 2, True, ''), ('-1', 2, True, '-1'),            # hidden: a job on the CPU
    (None, 0, False, None), ('', 0, False, ''), ('0,0', 0, False, '0,0'),
    ('NoDevFiles', 0, False, 'NoDevFiles'),              # left over: there is no GPU
    (None, 1, True, Stop), ('3', 8, True, Stop), ('3,-1,4', 8, True, Stop),
    ('0,00', 2, True, Stop), ('0, +0', 2, True, Stop)])  # the same GPU twice
def test_each_process_has_the_gpu_of_its_local_rank(given, gpus, has_driver, left, monkeypatch):
    monkeypatch.setattr(nvidia, 'has_driver_library', lambda: has_driver)
    monkeypatch.setattr(nvidia, 'count', lambda: gpus)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given or '')
    if given is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    rank = launch.Rank(1, 4, 1, 2)
    if left is Stop:
        with pytest.raises(Stop) as stop:
            launch.pin(rank, 'auto')
        assert 'has 1 GPU (CUDA_VISIBLE_DEVICES=%s)' % (given or 'not set') in stop.value.text
    else:
        launch.pin(rank, 'auto')
        assert os.environ.get('CUDA_VISIBLE_DEVICES') == left


@pytest.mark.parametrize('flags, code, said', [
    ([], 3, '`make horovod RUNTIME=%s`' % tf1.RUNTIME)] + [
    (flags, 2, 'argument %s: not allowed with more than one process' % flags[0])
    for flags in (['--xla'], ['--precision', 'mixed'], ['--profile'], ['--trace', 'trace.json'])])
def test_a_job_needs_horovod_and_refuses_what_is_of_one_process(flags, code, said, launched,
                                                               monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'horovod.tensorflow', None)
    assert alexnet_benchmark.main(SHORT + flags) == code
    error = capsys.readouterr().err
    assert said in error
    assert code == 2 or error.startswith('rank 1: ') and len(error.splitlines()) == 1


@pytest.mark.parametrize('script', [run_all, peers])
def test_what_starts_processes_of_its_own_is_refused(script, launched, capsys):
    assert script.main([]) == 2
    assert 'use horovodrun or mpirun to start one of the four scripts' in capsys.readouterr().err


# Who is there

class FakeStore(dict):
    """horovodrun's store, by (topic, rank). `beat` is what rank 1 says on being asked for its."""

    def __init__(self, beat=None):
        super().__init__({('beat', 1): beat})

    def put(self, topic, rank, words):
        self[topic, rank] = words

    def get(self, topic, rank):
        return super().get((topic, rank))


class DeadStore:
    """The store of a horovodrun that has ended."""

    def put(self, topic, rank, words):
        raise ConnectionRefusedError

    def get(self, topic, rank):
        raise ConnectionRefusedError


@pytest.mark.parametrize('tensorflow, batch_size, said', [
    (tf1.VERSION, 1, None),
    ('1.15.9', 2, 'The ranks do not run the same: tensorflow is %s on ranks 0, 2, 1.15.9 on rank '
     '1; --batch_size is 1 on ranks 0, 1, 2 on rank 2. ' % tf1.VERSION)])
def test_ranks_that_do_not_run_the_same_are_refused_at_the_start(tensorflow, batch_size, said,
                                                                 monkeypatch):
    hvd = argparse.Namespace(init=lambda: None, shutdown=lambda: None)
    store, cpu = FakeStore(), device.Device('cpu', 'X', 'X')
    for module, name, value in [(join, '_horovod', hvd), (join, '_version', '0.28.1'),
                                (liveness, 'store', store)]:
        monkeypatch.setattr(module, name, lambda value=value: value)
    others = [join._describe(cpu, 'alexnet_benchmark.py', {'batch_size': 1}),
              join._describe(cpu, 'alexnet_benchmark.py', {'batch_size': batch_size})]
    others[0]['same']['tensorflow'] = tensorflow
    store.update({('arrival', 1): json.dumps(others[0]), ('arrival', 2): json.dumps(others[1])})
    job = join.joined(RANK, cpu, 'alexnet_benchmark.py', {'batch_size': 1})
    if not said:
        with job as members:
            assert members.ranks == [{'host': others[0]['host'], 'device': 'X'}] * 3
        return
    with pytest.raises(Stop) as refused:
        with job:
            raise AssertionError('the job began')
    assert refused.value.text.startswith(said)


@pytest.mark.parametrize('comes_s, answers, took_s', [
    (0, {0: 'zero', 1: 'one', 2: 'two'}, 0),
    (500, {0: 'zero', 1: 'one', 2: 'two'}, 500),
    (700, {0: 'zero', 1: 'one'}, 600)])
def test_a_roll_call_ends_when_all_have_answered_or_the_time_is_over(comes_s, answers, took_s,
                                                                   monkeypatch):
    now_s, store = [0], FakeStore()

    def sleep(seconds):
        now_s[0] += seconds
        store['x', 1] = 'one'
        if now_s[0] >= comes_s:
            store['x', 2] = 'two'
    monkeypatch.setattr(liveness, 'time', argparse.Namespace(sleep=sleep,
                                                             monotonic=lambda: now_s[0]))
    sleep(0)
    assert liveness.roll_call(store, RANK, 'x', 'zero', 600) == answers
    assert store['x', 0] == 'zero'
    assert took_s <= now_s[0] < took_s + 1


def test_nobody_answers_where_the_store_is_gone():
    assert liveness.roll_call(DeadStore(), RANK, 'x', 'zero', MINUTES_S) == {0: 'zero'}


def test_only_horovodrun_has_a_store(monkeypatch):
    monkeypatch.delenv('HOROVOD_GLOO_RENDEZVOUS_ADDR', raising=False)
    assert liveness.store() is None


def test_the_first_rank_that_answers_names_the_others():
    answers = {1: '', 2: ''}
    assert [liveness.absent(launch.Rank(rank, 5, rank, 5), answers, 'did not come')
            for rank in (1, 2)] == ['ranks 0, 3, 4 did not come.', '']


def beats(exchanges):
    """The beats of a day; `exchanges` gives the number of exchanges by that of the beat."""
    return ['%d %d' % (number, exchanges(number)) for number in range(1, 8640)]


SILENT, STALLED = 'nothing was heard from it for 60 s', 'the others have waited %d s for it'


@pytest.mark.parametrize('heard, entered, stall_s, verdict', [
    ([], 0, '', (70, SILENT)), (['1 0'], 0, '', (80, SILENT)),
    (['1 0', '2 0', '3 0'], 0, '', (100, SILENT)),
    ([None] * 6 + ['1 0'], 0, '', (140, SILENT)),        # the first beat came just in time
    (beats(lambda number: 7), 8, '', (320, STALLED % 300)),          # behind from its first beat on
    (beats(lambda number: 7), 8, '400', (420, STALLED % 400)),
    (beats(lambda number: min(number, 7)), 8, '', (380, STALLED % 300)),       # it has moved on
    (beats(lambda number: 8), 8, '', None),              # both wait, or work
    (beats(lambda number: 9), 8, '', None),              # it waits for this one
    (beats(lambda number: number // 20), 10000, '', None),   # it follows, one exchange in 200 s
    (['1 8', 'ended'], 9, '', None)])
def test_when_a_rank_is_lost(heard, entered, stall_s, verdict, monkeypatch):
    """A beat every ten seconds, the last again and again, for a day."""
    monkeypatch.setenv('HOROVOD_STALL_SHUTDOWN_TIME_SECONDS', stall_s)
    watchdog, last, left = liveness.Watchdog(None, RANK, None, None, 0), None, iter(heard)
    verdicts = []
    for now_s in range(10, 86400, 10):
        last = next(left, last)
        verdicts.append((now_s, watchdog.hear(last, entered, now_s)))
    assert next((its for its in verdicts if its[1]), None) == verdict


@pytest.mark.parametrize('end_s, code, said', [
    (0, [3], 'rank 0: rank 1 is lost: nothing was heard from it for -1 s. The job ends.\n'),
    (MINUTES_S, [], '')])                                # the main thread ends, with the sentence
@pytest.mark.parametrize('store', [FakeStore(), DeadStore()])
def test_a_lost_rank_ends_the_job(store, end_s, code, said, monkeypatch, capsys):
    alarms, exit_codes, shut_down = [], [], threading.Event()
    monkeypatch.setattr(liveness.signal, 'alarm', alarms.append)
    monkeypatch.setattr(liveness.os, '_exit', exit_codes.append)
    for name, value in ('BEAT_S', 0.001), ('SILENT_S', -1), ('END_S', end_s):
        monkeypatch.setattr(liveness, name, value)
    with liveness.Watchdog(store, RANK, shut_down.set, lambda: 8, 0) as watchdog:
        assert shut_down.wait(MINUTES_S)
        if code:
            watchdog._thread.join()
        monkeypatch.setattr(liveness, 'BEAT_S', MINUTES_S)
    assert watchdog.lost == 'rank 1 is lost: nothing was heard from it for -1 s. The job ends.'
    assert (exit_codes, alarms, capsys.readouterr().err) == (code, [liveness.KILL_S], said)


def test_a_rank_beats_until_its_block_ends(monkeypatch):
    for name, value in ('BEAT_S', 0.001), ('SILENT_S', 1e9), ('STALL_S', 1e9):
        monkeypatch.setattr(liveness, name, value)
    beating, store = threading.Event(), FakeStore()
    with liveness.Watchdog(store, RANK, None, lambda: beating.set() or 8, 0) as watchdog:
        assert beating.wait(MINUTES_S)
    assert store['beat', 0] == 'ended'
    assert not watchdog.lost


@pytest.mark.parametrize('store, rank', [(None, RANK), (DeadStore(), launch.Rank(0, 1, 0, 1))])
def test_no_watchdog_runs_without_a_store_or_other_ranks(store, rank):
    with liveness.Watchdog(store, rank, None, None, 0) as watchdog:
        assert not watchdog._thread.is_alive()


@pytest.mark.parametrize('message, answers, said', [
    ('no memory is left', {0: 'rank 1 is lost: x.'}, None),              # of this rank itself
    ('Horovod has been shut down', {0: 'rank 1 is lost: x.'}, 'rank 1 is lost: x.'),
    ('Horovod has been shut down', {0: '', 1: 'rank 2 is lost: x.'}, 'rank 2 is lost: x.'),
    ('HorovodAllreduce failed', {0: '', 1: '', 2: ''}, None),
    ('Graph execution error:\n\n[gloo] Timed out\nin detail', {0: '', 2: ''},
     'rank 1 is lost: it died or hangs (Horovod: [gloo] Timed out).'),
    ('Horovod has been shut down', KeyboardInterrupt, None)])   # while the others are asked
def test_an_error_of_horovod_is_a_lost_rank_if_one_does_not_answer(message, answers, said,
                                                                  monkeypatch):
    def roll_call(*_):
        if answers is KeyboardInterrupt:
            raise KeyboardInterrupt
        return answers
    monkeypatch.setattr(liveness, 'roll_call', roll_call)
    job = join.Job(None, RANK, [CPU], FakeStore(), argparse.Namespace(
        lost=None if answers is KeyboardInterrupt else answers[0]))
    error, log = tf1.tf.errors.InternalError(None, None, message), {'status': 'running'}
    expected = KeyboardInterrupt if answers is KeyboardInterrupt else type(error)
    with pytest.raises(Stop if said else expected) as raised:
        with record.saved(log, None), join.naming_the_lost(job):
            raise error
    assert not said or raised.value.text == said
    assert log['status'] == ('interrupted' if expected is KeyboardInterrupt else 'failed')


# What is made of the steps

PLACES = [{'host': 'host%d' % (rank // 2), 'device': 'GPU X'} for rank in range(3)]


def scaling(without=(0.9, 0.9), alone=(0.8, 0.8)):
    return ranks.summary(PLACES, Timing('Forward-backward', [1.0, 1.1]),
                         [[1.0, 1.1], [1.0, 1.0], [1.0, 1.0]], [[0.8, 0.9]] * 3,
                         Timing('without', without) if without else None, Timing('alone', alone))


def test_efficiency_and_communication_are_ratios_of_means():
    summary = scaling()
    assert summary['efficiency'] == pytest.approx(0.8 / 1.05)
    assert summary['communication_share'] == pytest.approx(1 - 0.9 / 1.05)
    assert summary['alone'] == {'mean_s': 0.8, 'sd_s': 0, 'ci95_s': None, 'samples_s': [0.8, 0.8]}
    assert [its['mean_s'] for its in summary['ranks']] == pytest.approx([1.05, 1.0, 1.0])
    assert [its['own_mean_s'] for its in summary['ranks']] == pytest.approx([0.85] * 3)
    forward = scaling(without=None)                      # a forward pass communicates nothing
    assert (forward['without_allreduce'], forward['communication_share']) == (None, None)


@pytest.mark.parametrize('own_columns, named', [
    ([[1.0, 1.0], [1.0, 1.02], [1.09, 1.09]], []),
    ([[1.0, 1.0], [1.0, 1.02], [1.12, 1.12]], ['rank 2 on host1 (GPU X)']),
    ([[2.0], [1.0]], ['rank 0 on host0 (GPU X)'])])      # of two the slower
def test_a_straggler_is_named_with_its_host_and_device(own_columns, named):
    cautions = ranks.stragglers(PLACES, own_columns)
    assert [caution.text.partition(' is a straggler')[0] for caution in cautions] == named


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


@pytest.mark.parametrize('kind, nccl, hosts, cautions', [
    ('gpu', True, 'aa', []), ('gpu', False, 'aa', ['backend']), ('cpu', False, 'aa', ['shared']),
    ('cpu', False, 'ab', []), ('cpu', False, 'a', ['alone'])])
def test_why_a_job_will_not_show_how_the_network_scales(kind, nccl, hosts, cautions, monkeypatch):
    hvd = argparse.Namespace(nccl_built=lambda: nccl, gloo_enabled=lambda: True)
    monkeypatch.setattr(join, '_version', lambda: '0.28.1')
    job = join.Job(hvd, launch.Rank(0, len(hosts), 0, 1), [
        {'host': host, 'device': 'X', 'same': {'device': kind}} for host in hosts])
    assert job.processes['backend'] == ('nccl' if nccl else 'gloo')
    assert sum(job.processes['hosts'].values()) == job.processes['size'] == len(hosts)
    assert [caution.kind for caution in ranks.cautions_before(job)] == cautions


def test_there_are_cautions_about_the_steps_that_a_job_is_compared_with():
    quiet, noisy = {'samples_s': [0.1] * 30}, {'samples_s': [0.5] + [0.1] * 29}
    few = {'samples_s': [0.1] * 3}
    assert ranks.cautions_after({'without_allreduce': None, 'alone': few}) == []
    caution, = ranks.cautions_after({'without_allreduce': noisy, 'alone': quiet})
    assert caution.kind == 'outliers'
    assert caution.text.startswith('without the allreduce: step 0, 500 ms, raises the mean by ')


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

def start(size, fault, folder, *flags):
    """Starts a job; returns the process of horovodrun, and a name that all of the job carry."""
    name = uuid.uuid4().hex
    inherited = {key: value for key, value in os.environ.items() if not key.startswith('HOROVOD')}
    process = subprocess.Popen(
        [os.path.join(os.path.dirname(sys.executable), 'horovodrun'), '-np', str(size),
         sys.executable, '-m', 'tests.horovod_worker', fault, str(folder), *SHORT, *flags],
        cwd=ROOT, env=dict(inherited, JOB_OF_A_TEST=name, OMP_NUM_THREADS='1'),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        start_new_session=True)
    return process, name


def left(name):
    """The processes of the job that still run."""
    pids = []
    for path in glob.glob('/proc/[0-9]*/environ'):
        with contextlib.suppress(OSError):
            if name.encode() in pathlib.Path(path).read_bytes():
                pids.append(int(path.split('/')[2]))
    return pids


def kill(name):
    for pid in left(name):
        os.kill(pid, signal.SIGKILL)


def finish(process, name):
    """Waits for the end of a job, which must come, and after which no process may be left."""
    try:
        out, error = process.communicate(timeout=MINUTES_S)
        assert left(name) == []
    finally:
        kill(name)
    return argparse.Namespace(code=process.returncode, out=out, error=error)


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
    started = {fault: start(2, fault, folder) for fault in LOST}
    yield started
    for process, name in started.values():
        kill(name)
        process.wait()


@pytest.fixture(scope='module')
def job(tmp_path_factory, lost):
    """A job without faults: its size, folder, output and record. Three ranks, because with two a
    mean and half of a sum are the same; operations, which must not be pruned."""
    size, folder = 3, tmp_path_factory.mktemp('job')
    path = folder / 'record.json'
    finished = finish(*start(size, 'none', folder, '--fetch', 'ops', '--json', str(path)))
    assert finished.code == 0, finished.error
    return argparse.Namespace(size=size, folder=folder, finished=finished,
                              record=json.loads(path.read_text()))


def arrays(job, name):
    """The arrays of each rank: a list by rank."""
    by_rank = []
    for rank in range(job.size):
        with numpy.load(str(job.folder / ('%s-%d.npz' % (name, rank)))) as file:
            by_rank.append([file['arr_%d' % i] for i in range(len(file.files))])
    return by_rank


@needs_horovod
def test_each_rank_has_its_images_rank_0s_model_and_the_mean_of_the_gradients(job, assert_same):
    own, averaged, variables, images = [
        arrays(job, name) for name in ('own', 'averaged', 'variables', 'images')]
    for rank in range(1, job.size):
        assert all(map(numpy.array_equal, averaged[rank], averaged[0]))
        assert all(map(numpy.array_equal, variables[rank], variables[0]))
        assert not numpy.array_equal(images[rank][0], images[0][0])
    names = list(map(str, range(10)))                    # as many as there are gradients
    means = [numpy.mean(gradients, axis=0) for gradients in zip(*own)]
    assert_same(names, averaged[0], means, rtol=1e-5)
    with pytest.raises(AssertionError):                  # each rank has gradients of its own
        assert_same(names, averaged[0], own[0], rtol=1e-2)


@needs_horovod
def test_the_record_of_a_job(job):
    validator('record', strict=True)(job.record)
    assert job.record['processes'] == {
        'size': job.size, 'hosts': {job.record['environment']['host']: job.size},
        'horovod': '0.28.1', 'backend': 'gloo'}
    forward, both = job.record['results']
    for result in (forward, both):
        scaling, mean_s = result['scaling'], result['mean_s']
        assert result['batch_size'] == 1
        assert scaling['images_per_s'] == pytest.approx(job.size / mean_s)
        assert scaling['efficiency'] == pytest.approx(scaling['alone']['mean_s'] / mean_s)
        assert [rank['rank'] for rank in scaling['ranks']] == list(range(job.size))
        slowest = map(max, zip(*(rank['samples_s'] for rank in scaling['ranks'])))
        assert result['samples_s'] == list(slowest)
        assert len(scaling['alone']['samples_s']) == 4
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
    finished = finish(*start(2, 'no allreduce', tmp_path))
    assert finished.code != 0
    assert ('INVALID: Forward-backward: the step executed 0 allreduces, the graph has 0, and 10 '
            'gradients are to be reduced') in finished.out
    assert ("INVALID: Forward-backward: the averaged gradients of rank 1 are not rank 0's"
            in finished.out)


@needs_horovod
def test_ctrl_c_leaves_no_process_and_keeps_the_finished_steps(tmp_path):
    path = tmp_path / 'record.json'
    process, name = start(2, 'sound', tmp_path, '--num_batches', '1000000', '--json', str(path))
    try:
        for line in process.stdout:
            if 'step 10,' in line:
                break
        assert len(left(name)) > 2
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=MINUTES_S)           # its exit code is its own: 1, seldom 0
        assert left(name) == []
    finally:
        kill(name)
    written = json.loads(path.read_text())
    assert written['status'] == 'interrupted'
    assert len(written['results'][0]['samples_s']) > 10
