"""The list of conditions: what is compared, averaged as repeats, or only mentioned."""
import json
import os

import pytest

from common import conditions
from suite import compare, pairs
from suite.figures import load

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLOCK = {'min': 1500, 'median': 1500, 'max': 1500}
TELEMETRY = dict.fromkeys(['energy_j', 'memory_clock_mhz', 'other_processes', 'power_w',
                           'temperature_c', 'throttle_reasons', 'utilisation_percent'])
# A place in a record, what stands there, the condition, its value in the table or the list.
NOT_REPEATS = [
    ('environment.device.name', 'GPU Z', 'device', 'GPU Z'),
    ('environment.device.gpu.memory_bytes', 12000000000, 'board memory', '12 GB'),
    ('environment.gpu.max_sm_clock_mhz', 1710, 'maximum SM clock', '1710 MHz'),
    ('environment.gpu.driver_version', '550.2', 'driver', '550.2'),
    ('environment.gpu.power_limit_w', 250, 'power limit', '250 W'),
    ('environment.host', 'other', 'host', 'other'),
    ('environment.cpu.usable_threads', 1, 'CPUs', '1'),
    ('environment.cpu.affinity', [1, 0, 2, 8], 'CPU affinity', '0-2,8'),
    ('environment.cpu.quota_cpus', 1.5, 'CPU quota', '1.5'),
    ('options.intra_op_threads', 1, 'threads', '1 intra-op'),
    ('environment.tensorflow', '1.14.0', 'tensorflow', '1.14.0'),
    ('environment.cuda', '9.0', 'cuda', '9.0'), ('environment.cudnn', None, 'cudnn', 'none'),
    ('options.num_batches', 5, 'steps', '5'), ('options.num_steps_burn_in', 0, 'burn-in', '0'),
    ('results.0.gpu.sm_clock_mhz.median', 1005, 'median SM clock', '1005 MHz'),
    ('environment.variables.OMP_NUM_THREADS', '1', 'OMP_NUM_THREADS', '1')]
MENTIONED = [
    ('environment.runtime', 'modern', 'runtime', 'modern'),
    ('environment.python', '3.6.1', 'python', '3.6.1'),
    ('environment.numpy', '1.1', 'numpy', '1.1'), ('environment.system', 'x', 'system', 'x'),
    ('environment.commit', 'f' * 40, 'commit', 'f' * 40)]
NO_DIFFERENCE = [
    ('results.0.gpu.sm_clock_mhz.median', 1430), ('results.0.gpu', None),
    ('environment.device.gpu.memory_bytes', 8030000000), ('environment.device.gpu', None),
    ('environment.gpu.max_sm_clock_mhz', None), ('environment.gpu.power_limit_w', None),
    ('environment.cpu.affinity', None), ('environment.host', '0123456789ab'),   # a container's
    ('environment.variables.NVIDIA_API_KEY', 'x'), ('options.json', 'other.json')]
NOT_COMPARABLE = [
    ('variant', 'no_lrn', 'variant'), ('results.0.info_string', 'Forward-backward', 'pass'),
    ('results.0.fetch', 'ops', 'fetch'), ('results.0.batch_size', 8, 'batch'),
    ('results.0.precision', 'tf32', 'precision'), ('results.0.xla', True, 'precision'),
    ('processes', {'size': 2, 'hosts': {'a': 2}, 'horovod': '0.28.1', 'backend': 'gloo'},
     'processes')]


def run(number=0, place='variant', value='lrn', mean_s=0.1):
    """A record of a run on a GPU, with other steps for each number, that has a value at a place."""
    with open(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
        data = json.load(file)
    environment, entry = data['environment'], data['results'][0]
    environment['device'].update(kind='gpu', name='GPU X', gpu={
        'name': 'GPU X', 'pci_bus_id': '0', 'compute_capability': [7, 0], 'multiprocessors': 1,
        'memory_bytes': 8000000000})
    environment['cpu'].update(affinity=[0, 1])
    environment['gpu'] = {'driver_version': '535.1', 'power_limit_w': 300, 'max_sm_clock_mhz': 1530}
    samples = [mean_s + number / 1e6] * 99 + [mean_s]
    entry.update(samples_s=samples, mean_s=sum(samples) / 100, sd_s=number / 1e8, gpu=dict(
        TELEMETRY, sm_clock_mhz=dict(CLOCK), samples=9, interval_s=0.1, watched_s=1,
        unavailable={}))
    data['results'] = [entry]
    data['network']['layers'] = []
    *path, last = [int(key) if key.isdigit() else key for key in place.split('.')]
    parent = data
    for key in path:
        parent = parent[key]
    parent[last] = value
    return data


@pytest.fixture
def write(tmp_path):
    """A function that writes a record to NAME.json below tmp_path."""
    def write_file(name, data):
        path = tmp_path / (name + '.json')
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(data))
        return str(path)
    return write_file


def test_every_condition_is_tried():
    names = {case[2] for case in NOT_REPEATS + MENTIONED + NOT_COMPARABLE}
    assert set(conditions.BY_NAME) - names == {'network', 'horovod', 'backend'}


@pytest.mark.parametrize('place, value, name, text', NOT_REPEATS + MENTIONED)
def test_what_differs_is_listed_and_averaged_only_if_it_is_mentioned(
        place, value, name, text, write, tmp_path, capsys):
    one, other = write('two/a', run()), write('two/b', run(1, place, value))
    is_repeat = (place, value, name, text) in MENTIONED
    figures = load(str(tmp_path / 'two')).figures
    assert [len(figure.records) for figure in figures] == ([2] if is_repeat else [1, 1])
    assert not any(figure.faults for figure in figures)
    assert compare.main([str(tmp_path / 'two')]) == 0
    assert (name in capsys.readouterr().out.split('ms / batch\n')[-1]) != is_repeat    # a column

    assert compare.main([one, other]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.replace('\n    ', ' ').splitlines()]
    line, = [line for line in lines if line.startswith('differs: ')]
    assert line.startswith('differs: %s: ' % name) and line.endswith(' | ' + text)


@pytest.mark.parametrize('place, value', NO_DIFFERENCE)
def test_what_is_no_difference(place, value, write, tmp_path, capsys):
    """Also what only one of the records knows."""
    one, other = write('two/a', run()), write('two/b', run(1, place, value))
    figure, = load(str(tmp_path / 'two')).figures
    assert len(figure.records) == 2
    assert compare.main([one, other]) == 0
    out = capsys.readouterr().out
    assert 'differs: ' not in out
    assert ('recorded on one side only: ' in out) == (value is None or place == 'environment.host')


@pytest.mark.parametrize('place, value, name', NOT_COMPARABLE)
def test_what_is_not_compared(place, value, name, write):
    pair, = pairs.compare(load(write('a', run())), [load(write('b', run(1, place, value)))])
    assert pair.rows == [] and name in pair.apart[0]


def test_repeats_have_the_mean_clock_and_all_commits(write, tmp_path):
    for i, clock in enumerate((1500, 1520, 1540)):
        data = run(i, 'results.0.gpu.sm_clock_mhz', dict(CLOCK, median=clock))
        data['environment']['commit'] = 'abb'[i] * 40
        write('three/%d' % i, data)
    figure, = load(str(tmp_path / 'three')).figures
    assert figure.conditions['median SM clock'] == 1520
    assert figure.conditions['commit'] == 'a' * 40 + ', ' + 'b' * 40


def test_figures_under_two_conditions_stand_against_the_same_condition(write, tmp_path):
    for name, driver in ('before', '551'), ('after', '552'):
        for threads in 1, 2:
            data = run(threads, 'options.intra_op_threads', threads, int(driver) * threads / 1e3)
            data['environment']['gpu']['driver_version'] = driver
            write('%s/%d' % (name, threads), data)
    before, after = [load(str(tmp_path / name)) for name in ('before', 'after')]
    pair, = pairs.compare(before, [after])
    assert [pairs.differing(row.base, row.other) for row in pair.rows] == [['driver']] * 2
    pair, = pairs.compare(before, [load(str(tmp_path / 'after' / '1.json'))])
    assert [pairs.differing(row.base, row.other) for row in pair.rows] == [['driver']]
    line, = pair.apart
    assert line.endswith('driver 551, not 552; threads 2 intra-op, not 1 intra-op')


def test_an_older_record_lacks_facts_and_the_part_of_one_is_enough():
    """As `suite run` describes this machine before it resumes."""
    environment = {'host': 'a', 'tensorflow': '2.21.0', 'device': {'kind': 'cpu', 'name': 'x'},
                   'cpu': {'usable_threads': 2}, 'variables': {'CUDA_VISIBLE_DEVICES': ''}}
    values = conditions.of({'environment': environment, 'options': {}})
    assert list(values) == ['device', 'host', 'CPUs', 'threads', 'tensorflow']
    other = dict(values, CPUs=3, OMP='1', commit='c')
    assert conditions.differing(values, other) == ['CPUs', 'OMP']
    assert [conditions.text(name, values.get(name)) for name in ('CPUs', 'OMP', 'commit')] == [
        '2', '(not set)', 'unknown']


def test_the_hosts_of_a_job():
    job = run(0, 'processes', {'size': 4, 'hosts': {'b': 2, 'a': 2}, 'horovod': '0.28.1',
                               'backend': 'nccl'})
    values = conditions.of(job, job['results'][0])
    assert [values[name] for name in ('processes', 'host', 'horovod', 'backend')] == [
        4, 'a: 2, b: 2', '0.28.1', 'nccl']
