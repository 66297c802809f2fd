"""run_all.py: what it plans, what it does with scripts that fail in every way, and its table."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import resnet_v2_benchmark
import vgg16_benchmark
from common import tf1
from common.machine import device, host
from suite.run import command as run_all

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CPU = device.Device('cpu', 'A CPU', 'A CPU, 2 threads: no GPU was found')
GPU = device.Device('gpu', 'Some GPU', 'Some GPU: the first that CUDA shows')
RECORD = os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')

# A script in the place of all four. It writes a record as a real one does, but takes no time;
# behaviour.json beside it says what goes wrong, by the beginning of the record's name.
STUB = """
import json, os, signal, sys, time
options, words = {}, sys.argv[1:]
while words:
    name = words.pop(0)[2:]
    if name in ('lrn', 'no_lrn', 'fc', 'no_fc'):
        options[name.replace('no_', '')] = not name.startswith('no_')
    else:
        value = words.pop(0)
        options[name] = int(value) if value.isdigit() else value
options['layers'] = False
path = options.pop('json')
folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, 'calls'), 'a') as file:
    file.write(os.path.basename(path)[:-len('.json')] + '\\n')
with open(os.path.join(folder, 'behaviour.json')) as file:
    behaviour = json.load(file)
does = ''
for name in behaviour:
    if os.path.basename(path).startswith(name):
        does = behaviour[name]
print('Device: stub', flush=True)
with open('RECORD') as file:
    record = json.load(file)
entries, record['results'] = record['results'], []
record.update(options=options, status='running')
record['environment']['device']['name'] = os.environ['STUB_DEVICE']
record['environment']['tensorflow'] = os.environ['STUB_TENSORFLOW']

def write():
    with open(path + '.tmp', 'w') as file:
        json.dump(record, file)
    os.rename(path + '.tmp', path)

def add(name):
    batch_size = options['batch_size']
    mean_s = 20. if does == 'slow' else 0.001 * batch_size
    record['results'].append(dict(
        entries[0], info_string=name, fetch=options['fetch'], batch_size=batch_size,
        mean_s=mean_s, samples_s=[mean_s], sd_s=0.0001, peak_bytes=5000000 * batch_size,
        warnings=[{'kind': 'w', 'text': 'w'}] if does == 'warning' else [],
        faults=['nothing ran'] if does == 'invalid' else []))
    print('2026-11-24 01:00:00.000000: %s across 5 steps, 0.001 +/- 0.000 sec / batch' % name)

if does == 'crash at once':
    sys.exit('Traceback: a library is missing')
if does == 'no device':
    sys.exit(3)
add('Forward')
write()
if does == 'killed':
    os.kill(os.getpid(), signal.SIGKILL)
if does == 'wait':
    try:
        print('waiting', flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        record['status'] = 'interrupted'
        write()
        sys.exit(130)
if does == 'linger':
    time.sleep(2)
if does == 'out of memory':
    record['status'] = 'out_of_memory'
    write()
    sys.exit('Out of memory')
add('Forward-backward')
record['status'] = 'finished'
write()
sys.exit(does == 'invalid')
"""


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """Stubs in the place of the scripts, on a GPU; stubs(behaviour) sets what goes wrong and
    returns what was called since the last time."""
    scripts = tmp_path / 'scripts'
    scripts.mkdir()
    for name in run_all.VARIANTS:
        (scripts / (name + '_benchmark.py')).write_text(STUB.replace('RECORD', RECORD))
    monkeypatch.setattr(run_all, 'SCRIPTS', str(scripts))
    monkeypatch.setattr(run_all.device, 'choose', lambda asked: GPU)
    monkeypatch.setenv('STUB_DEVICE', GPU.name)
    monkeypatch.setenv('STUB_TENSORFLOW', tf1.VERSION)
    monkeypatch.chdir(tmp_path)
    calls = scripts / 'calls'

    def behave(**behaviour):
        called = calls.read_text().split() if calls.exists() else []
        calls.write_text('')
        (scripts / 'behaviour.json').write_text(json.dumps(
            {name.replace('__', '-'): does for name, does in behaviour.items()}))
        return called
    behave()
    return behave


def planned(*flags, kind='gpu', protocol='chapter'):
    args = run_all.argument_parser().parse_args(flags)
    args.device, args.protocol = kind, args.protocol or protocol
    return run_all.plan(args)


# Planning

def test_the_chapters_four_in_order():
    runs = planned()
    assert [run.name for run in runs] == [
        'alexnet-lrn-tensors-b32', 'vgg16-D-tensors-b32', 'inception_v3-aux-tensors-b32',
        'resnet_v2-152-tensors-b32']
    assert runs[1].command == [
        sys.executable, os.path.relpath(os.path.join(ROOT, 'vgg16_benchmark.py')),
        '--batch_size', '32', '--num_batches', '100', '--num_steps_burn_in', '10',
        '--device', 'gpu', '--fetch', 'tensors', '--configuration', 'D']


@pytest.mark.parametrize('flags, names', [
    (['--only', 'vgg16', 'alexnet'], ['alexnet-lrn-tensors-b32', 'vgg16-D-tensors-b32']),
    (['--only', 'resnet_v2', '--variants'], ['resnet_v2-%s-tensors-b32' % depth
                                             for depth in (152, 50, 101, 200)]),
    (['--only', 'alexnet', '--variants', '--fetch', 'ops'],
     ['alexnet-lrn-ops-b32', 'alexnet-no_lrn-ops-b32', 'alexnet-lrn_fc-ops-b32']),
    (['--only', 'alexnet', '--fetch', 'both'],
     ['alexnet-lrn-tensors-b32', 'alexnet-lrn-ops-b32']),
    (['--only', 'alexnet', '--fetch', 'both', '--repeat', '2', '--batch-size', '8'],
     ['alexnet-lrn-tensors-b8', 'alexnet-lrn-ops-b8', 'alexnet-lrn-tensors-b8-r2',
      'alexnet-lrn-ops-b8-r2']),
    (['--only', 'alexnet', '--sweep'], ['alexnet-lrn-tensors-b%d' % 2 ** i for i in range(17)]),
    (['--only', 'alexnet', '--precision', 'mixed'], ['alexnet-lrn-tensors-mixed-b32']),
    (['--only', 'alexnet', '--precision', 'tf32', '--xla', '--repeat', '2'],
     ['alexnet-lrn-tensors-tf32-xla-b32', 'alexnet-lrn-tensors-tf32-xla-b32-r2']),
    (['--only', 'alexnet', '--xla', '--precision', 'float32'], ['alexnet-lrn-tensors-xla-b32']),
    (['--only', 'inception_v3', '--protocol', 'quick'], ['inception_v3-aux-tensors-b2'])])
def test_planning(flags, names):
    assert [run.name for run in planned(*flags)] == names


def test_all_variants_have_names_of_their_own():
    names = [run.name for run in planned('--variants', '--fetch', 'both', '--repeat', '3')]
    assert len(names) == len(set(names)) == 14 * 2 * 3
    assert set(run_all.VARIANTS['vgg16']) == set(vgg16_benchmark.CONFIGURATIONS)
    assert set(map(int, run_all.VARIANTS['resnet_v2'])) == set(resnet_v2_benchmark.DEPTHS)


def test_the_protocols_and_what_overrides_them():
    def counts(*flags, **more):
        options = planned(*flags, **more)[0].options
        return options['batch_size'], options['num_batches'], options['num_steps_burn_in']
    assert counts() == (32, 100, 10)
    assert counts(protocol='quick') == (2, 5, 1)
    assert counts('--num_batches', '7', '--num_steps_burn_in', '0') == (32, 7, 0)


@pytest.mark.parametrize('flags', [
    ['--only', 'lenet'], ['--protocol', 'long'], ['--repeat', '0'], ['--batch_size', '0'],
    ['--device', 'tpu'], ['--sweep', '--batch_size', '4'], ['--fetch', 'all'],
    ['--sweep', '--precision', 'mixed'], ['--precision', 'float16']])
def test_bad_usage_runs_nothing(flags, stubs, capsys):
    assert run_all.main(flags) == 2
    assert flags[-2 if len(flags) > 1 else 0] in capsys.readouterr().err
    assert stubs() == []
    assert not os.path.exists('results-local')


@pytest.mark.parametrize('on, flags, line', [
    (GPU, [], 'Protocol: chapter, as a GPU is timed: batch size 32, 100 steps after 10 of burn-in'),
    (CPU, [], 'Protocol: quick, as a CPU is timed: batch size 2, 5 steps after 1 of burn-in'),
    (CPU, ['--protocol', 'chapter', '--num_batches', '9'],
     'Protocol: chapter, as --protocol asks: batch size 32, 9 steps after 10 of burn-in'),
    (GPU, ['--sweep', '--protocol', 'quick', '--num_batches', '8'],
     'Protocol: quick, as --protocol asks: batch sizes 1, 2, 4, ..., 8 steps after 1 of burn-in')])
def test_the_device_decides_the_protocol_and_says_so(on, flags, line, stubs, monkeypatch, capsys):
    monkeypatch.setattr(run_all.device, 'choose', lambda asked: on)
    monkeypatch.setattr(run_all, 'SWEEP_LIMIT', 1)
    assert run_all.main(flags + ['--only', 'alexnet']) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ['Device: ' + on.sentence, line]
    assert any('not how fast' in one for one in out) == ('quick' in line)


def test_a_gpu_that_cannot_be_used_runs_nothing(stubs, monkeypatch, capsys):
    def unusable(asked):
        raise device.Unusable('The driver is too old.')
    monkeypatch.setattr(run_all.device, 'choose', unusable)
    assert run_all.main([]) == 3
    assert capsys.readouterr().err == 'The driver is too old.\n'
    assert stubs() == []


# Running

def test_the_folder_is_named_by_date_machine_and_device(stubs, capsys):
    assert run_all.main(['--only', 'alexnet']) == 0
    folder, = os.listdir('results-local')
    assert re.match(r'\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d_[\w.-]+_Some-GPU$', folder)
    assert sorted(os.listdir(os.path.join('results-local', folder))) == [
        'alexnet-lrn-tensors-b32.json', 'alexnet-lrn-tensors-b32.log']
    assert 'Results: results-local/%s\n' % folder in capsys.readouterr().out


@pytest.mark.parametrize('does, words, shown, code', [
    ('crash at once', 'crashed: exit code 1', 'Traceback: a library is missing', 3),
    ('killed', 'crashed: SIGKILL', 'Device: stub', 3),
    ('no device', 'could not run', 'Device: stub', 3),
    ('out of memory', 'out of memory', 'Out of memory', 3),
    ('invalid', 'INVALID', 'Device: stub', 1)])
def test_what_fails_in_one_does_not_stop_the_rest(does, words, shown, code, stubs, capsys):
    stubs(vgg16=does)
    assert run_all.main(['--output', 'out']) == code
    assert len(stubs()) == 4
    out = capsys.readouterr().out
    assert '\r' not in out
    assert re.search(r'\[2 of 4\] vgg16-D-tensors-b32: %s, \d s\n(    .*\n)*    %s\n'
                     % (words, shown), out)
    rows = [line for line in out.splitlines() if re.match('alexnet |vgg16 |inception|resnet', line)]
    assert len(rows) == {'crash at once': 7, 'no device': 7}.get(does, 8)
    assert sum(words in row for row in rows if row.startswith('vgg16 ')) == 1 + (code == 1)
    assert all(' ok' in row for row in rows if not row.startswith('vgg16 '))


def test_the_worst_exit_code_wins(stubs):
    stubs(alexnet='crash at once', vgg16='invalid')
    assert run_all.main(['--output', 'out']) == 3


def test_what_finished_is_not_run_again(stubs, capsys):
    stubs(vgg16='killed', inception_v3='invalid', resnet_v2='out of memory')
    assert run_all.main(['--output', 'out']) == 3
    stubs()
    assert run_all.main(['--output', 'out']) == 1        # the invalid figures are still there
    assert stubs() == ['vgg16-D-tensors-b32', 'resnet_v2-152-tensors-b32']
    assert '[1 of 4] alexnet-lrn-tensors-b32: ok, in an earlier call\n' in capsys.readouterr().out
    assert run_all.main(['--output', 'out', '--repeat', '2', '--only', 'alexnet']) == 0
    assert stubs() == ['alexnet-lrn-tensors-b32-r2']


@pytest.mark.parametrize('flags, variable', [
    (['--num_batches', '7'], None), ([], 'STUB_DEVICE'), ([], 'STUB_TENSORFLOW')])
def test_records_of_other_runs_are_neither_taken_nor_overwritten(flags, variable, stubs,
                                                                 monkeypatch, capsys):
    if variable:
        monkeypatch.setenv(variable, 'other')
    assert run_all.main(['--output', 'out', '--only', 'alexnet']) == 0
    stubs()
    assert run_all.main(['--output', 'out', '--only', 'alexnet'] + flags) == 2
    assert 'alexnet-lrn-tensors-b32.json in out was made with' in capsys.readouterr().err
    assert stubs() == []


DAMAGED = '{"schema": %d, "benchmark": 2, "results": [3], "status": "finished"}'


@pytest.mark.parametrize('text, line', [('{"status": "fini', 'not JSON, or cut short'),
                                        (DAMAGED % 1, 'damaged: it lacks')])
def test_a_damaged_record_is_named_and_run_again(text, line, stubs, capsys):
    os.mkdir('out')
    with open('out/alexnet-lrn-tensors-b32.json', 'w') as file:
        file.write(text)
    assert run_all.main(['--output', 'out', '--only', 'alexnet']) == 0
    assert stubs() == ['alexnet-lrn-tensors-b32']
    err, = capsys.readouterr().err.splitlines()
    assert err.startswith('out/alexnet-lrn-tensors-b32.json: ' + line)


def test_a_record_of_another_version_is_not_overwritten(stubs, capsys):
    os.mkdir('out')
    with open('out/alexnet-lrn-tensors-b32.json', 'w') as file:
        file.write(DAMAGED % 2)
    assert run_all.main(['--output', 'out', '--only', 'alexnet']) == 2
    assert 'out/alexnet-lrn-tensors-b32.json: schema 2, and 1' in capsys.readouterr().err
    with open('out/alexnet-lrn-tensors-b32.json') as file:
        assert file.read() == DAMAGED % 2


def test_a_sweep_ends_where_memory_does_and_is_not_repeated(stubs, capsys):
    flags = ['--output', 'out', '--sweep', '--only', 'alexnet', 'vgg16']
    stubs(alexnet__lrn__tensors__b8='out of memory', vgg16__D__tensors__b4='killed')
    assert run_all.main(flags) == 3                      # for the crash
    assert stubs() == ['alexnet-lrn-tensors-b%d' % size for size in (1, 2, 4, 8)] \
        + ['vgg16-D-tensors-b%d' % size for size in (1, 2, 4)]
    out = capsys.readouterr().out
    assert '[1 of at most 34] alexnet-lrn-tensors-b1: started; 0:00:00 elapsed, unknown left' in out
    assert 'alexnet-lrn-tensors: the largest batch that ran is 4; 8: out of memory\n' in out
    assert 'vgg16-D-tensors: the largest batch that ran is 2; 4: crashed: SIGKILL\n' in out
    assert re.search(r'batch +ms / batch +ms / image +images / s +peak MB +verdict', out)
    assert re.search(r'alexnet +lrn +Forward-backward +tensors +4 +4.000 \+/- 0.100 +1.000 +1000.0 '
                     '+20 +ok\n', out)

    stubs(vgg16__D__tensors__b8='out of memory')
    assert run_all.main(flags) == 0
    assert stubs() == ['vgg16-D-tensors-b4', 'vgg16-D-tensors-b8']
    assert '8: out of memory' in capsys.readouterr().out.partition('largest')[2]


def test_a_sweep_in_which_nothing_fits(stubs, capsys):
    stubs(alexnet='out of memory')
    assert run_all.main(['--sweep', '--only', 'alexnet']) == 3
    assert 'ran is none; 1: out of memory' in capsys.readouterr().out


def test_a_sweep_on_a_cpu_ends_when_a_step_takes_long(stubs, monkeypatch, capsys):
    stubs(alexnet__lrn__tensors__b2='slow')
    monkeypatch.setattr(run_all.device, 'choose', lambda asked: CPU)
    assert run_all.main(['--sweep', '--only', 'alexnet']) == 0
    assert len(stubs(alexnet__lrn__tensors__b2='slow')) == 2
    assert 'ran is 2; 2: larger ones were not tried, for its step took 20.0 s (limit on a CPU' \
        in capsys.readouterr().out
    assert '%g s' % run_all.SWEEP_CPU_STEP_S in run_all.__doc__

    monkeypatch.setattr(run_all.device, 'choose', lambda asked: GPU)
    monkeypatch.setattr(run_all, 'SWEEP_LIMIT', 4)
    assert run_all.main(['--sweep', '--only', 'alexnet']) == 0
    assert 'the largest batch that ran is 4\n' in capsys.readouterr().out


def test_repetitions_stand_together_with_their_range(stubs, capsys):
    assert run_all.main(['--repeat', '2', '--only', 'alexnet', 'vgg16']) == 0
    assert [name[-3:] for name in stubs()] == ['b32', 'b32', '-r2', '-r2']
    out = capsys.readouterr().out
    assert re.findall(r'(?m)^(alexnet|vgg16) .* tensors +32 +(\d) ', out) == [
        ('alexnet', '1')] * 2 + [('alexnet', '2')] * 2 + [('vgg16', '1')] * 2 + [('vgg16', '2')] * 2
    assert 'alexnet-lrn-tensors-b32, Forward: 32.000 to 32.000 ms / batch in 2 processes' in out


# Interrupted

def start(output, **environment):
    """run_all.py with the stubs' folder, in a process of its own."""
    code = ('import signal, sys; from suite import __main__ as suite; '
            'from suite.run import command as run_all; '
            'signal.signal(signal.SIGINT, signal.SIG_IGN); '
            'suite.end_as_ctrl_c_does(); '
            'run_all.SCRIPTS = %r; sys.exit(run_all.main())' % run_all.SCRIPTS)
    return subprocess.Popen(
        [sys.executable, '-c', code, '--only', 'alexnet', 'vgg16', '--device', 'cpu']
        + (['--output', output] if output else []), text=True,
        env=dict(os.environ, PYTHONPATH=ROOT, STUB_DEVICE=host.cpu_name()),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(path, words):
    deadline = time.monotonic() + 20
    while not (os.path.exists(path) and words in open(path).read()):     # noqa: SIM115
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_the_child_write_its_record_and_says_how_to_go_on(number, stubs):
    stubs(vgg16='wait')
    process = start(output=None)
    assert any('vgg16' in line for line in iter(process.stdout.readline, ''))
    folder = os.path.join('results-local', os.listdir('results-local')[0])
    wait_for(os.path.join(folder, 'vgg16-D-tensors-b2.log'), 'waiting')
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.search(r'vgg16-D-tensors-b2: interrupted, \d+ s\n', out)
    assert re.search(r'(?m)^alexnet +lrn +Forward ', out)     # the table of what finished
    assert err == ('Interrupted. To go on: %s -m suite run --only alexnet vgg16 --device cpu '
                   '--output %s\n' % (sys.executable, folder))
    with open(os.path.join(folder, 'vgg16-D-tensors-b2.json')) as file:
        assert json.load(file)['status'] == 'interrupted'

    assert stubs() == ['alexnet-lrn-tensors-b2', 'vgg16-D-tensors-b2']
    assert start(folder).wait(timeout=20) == 0
    assert stubs() == ['vgg16-D-tensors-b2']


def test_a_killed_parent_takes_the_child_with_it_and_the_folder_is_free(stubs):
    stubs(vgg16='linger')
    process = start('out')
    wait_for('scripts/calls', 'vgg16')
    process.kill()
    process.communicate(timeout=20)
    deadline = time.monotonic() + 20
    stubs()
    while start('out').wait(timeout=20) == 2:            # in use: the child is about to end
        assert time.monotonic() < deadline
    assert stubs() == ['vgg16-D-tensors-b2']


# The table and the progress

def outcome(benchmark, variant, fetch='tensors', batch_size=32, **entry):
    results = [dict({'info_string': name, 'fetch': fetch, 'batch_size': batch_size,
                     'precision': 'float32', 'mean_s': 0.5, 'sd_s': 0.25, 'peak_bytes': 1,
                     'warnings': [], 'faults': []}, **entry) for name in run_all.PASSES]
    run = run_all.Run(benchmark, variant, {'fetch': fetch, 'batch_size': batch_size}, 1, False)
    return run_all.Outcome(run, {'status': 'finished', 'faults': [], 'results': results}, 0)


@pytest.fixture
def figures():
    same = {'fetch': 'tensors', 'batch_size': 32, 'precision': 'float32'}
    return [dict(same, benchmark='alexnet', variant='lrn', info_string='Forward-backward',
                 mean_s=0.111, sd_s=0.002),
            dict(same, benchmark='alexnet', variant='no_lrn', info_string='Forward', mean_s=0.009,
                 sd_s=None)]


def test_the_chapters_figures_stand_beside_the_same_work_only(figures):
    same = [outcome('alexnet', 'lrn'), outcome('alexnet', 'no_lrn')]
    others = [outcome('alexnet', 'lrn', fetch='ops'), outcome('alexnet', 'lrn', batch_size=16),
              outcome('alexnet', 'lrn_fc'), outcome('vgg16', 'D')]
    heading, *lines = run_all.table(same + others, figures)
    assert heading.endswith('chapter, s / batch')
    assert [line[heading.index('chapter'):].strip() for line in lines] \
        == ['', '0.111 +/- 0.002', 'about 0.009', ''] + [''] * 8
    assert 'chapter' not in run_all.table(others, figures)[0]
    assert 'chapter' not in run_all.table(same, [])[0]


def test_the_plain_run_is_not_shown_as_the_faster_one(figures):
    run = planned('--only', 'alexnet', '--precision', 'mixed', '--xla')[0]
    words = run.command
    assert words[words.index('--precision') + 1] == 'mixed' and '--xla' in words
    same = outcome('alexnet', 'lrn').record['results']
    faster = [dict(entry, mean_s=0.25, precision='mixed_float16', xla=True) for entry in same]
    record = {'status': 'finished', 'results': same + faster}
    heading, *lines = run_all.table([run_all.Outcome(run, record, 0)], figures)
    assert [line.split()[2:6] for line in lines] == [
        ['Forward', 'tensors', 'mixed_float16,', 'XLA'],
        ['Forward-backward', 'tensors', 'mixed_float16,', 'XLA']]
    assert all('250.000 +/-' in line for line in lines)
    assert 'precision' in heading and 'chapter' not in heading
    xla = outcome('alexnet', 'lrn', xla=True)
    assert run_all.passes(xla) == []                     # a plain run has no such results


def test_the_columns_are_aligned():
    lines = run_all.table([outcome('vgg16', 'D', 'ops'), outcome('vgg16', 'A-LRN', 'ops', 256)], [])
    assert [line.replace('  verdict', '') for line in lines] == [
        'network  variant  pass              fetch  batch           ms / batch  images / s',
        'vgg16    D        Forward           ops       32  500.000 +/- 250.000        64.0  ok',
        'vgg16    D        Forward-backward  ops       32  500.000 +/- 250.000        64.0  ok',
        'vgg16    A-LRN    Forward           ops      256  500.000 +/- 250.000       512.0  ok',
        'vgg16    A-LRN    Forward-backward  ops      256  500.000 +/- 250.000       512.0  ok']


def test_verdicts():
    warning = {'text': 'x'}
    for entry, words, code in [({}, 'ok', 0), ({'warnings': [warning]}, '1 warning', 0),
                               ({'warnings': [warning] * 2}, '2 warnings', 0),
                               ({'warnings': [warning], 'faults': ['y']}, 'INVALID', 1)]:
        one = outcome('alexnet', 'lrn', **entry)
        assert [row['verdict'] for row in run_all.rows(one, [])] == [words] * 2
        assert run_all.exit_code(one) == code
    refused = run_all.Outcome(one.run, {'status': 'refused', 'faults': ['z'], 'results': []}, 1)
    assert (run_all.verdict(refused), run_all.exit_code(refused)) == ('INVALID', 1)


def test_the_file_of_the_chapters_figures_fits():
    if not os.path.exists(run_all.CHAPTER):
        pytest.skip('no references/chapter.json')
    figures = run_all.read(run_all.CHAPTER)['figures']
    runs = {(run.benchmark, run.variant) for run in planned('--variants')}
    assert figures
    assert all((figure['benchmark'], figure['variant']) in runs for figure in figures)
    beside = [run_all.chapter_text(run, {'info_string': name, 'fetch': 'tensors', 'batch_size': 32,
                                         'precision': 'float32'}, figures)
              for run in planned('--variants') for name in run_all.PASSES]
    assert len(list(filter(None, beside))) == len(figures)


def test_the_position_is_read_from_the_chapters_lines():
    day = '2016-12-10 21:08:31.851750: '
    log = ' conv1   [32, 56, 56, 64]\n'
    assert run_all.position(log, 100) == 'Forward'
    log += day + 'step 0, duration = 0.026\n' + day + 'step 10, duration = 0.026\n'
    assert run_all.position(log, 100) == 'Forward, step 10 of 100'
    log += day + 'Forward across 100 steps, 0.026 +/- 0.000 sec / batch\nForward: 26 ms / batch\n'
    assert run_all.position(log, 100) == 'Forward-backward'
    log += day + 'step 0, duration = 0.078\n'
    assert run_all.position(log, 100) == 'Forward-backward, step 0 of 100'
    log += day + 'Forward-backward across 100 steps, 0.078 +/- 0.000 sec / batch\n'
    assert run_all.position(log + '\n*** The same in tf32 ***\n', 100) == 'Forward'
    assert run_all.position(log, 100) == 'Forward-backward'


def test_the_time_left_comes_from_what_finished():
    alexnet, vgg16 = planned('--only', 'alexnet', 'vgg16')
    assert run_all.time_left([], [alexnet], 0) == 'unknown'
    assert run_all.time_left([('alexnet', 60)], [alexnet, vgg16], 20) == 'about 0:08:40'
    assert run_all.time_left([('alexnet', 60)], [alexnet, vgg16], 70) == 'about 0:08:00'
    assert run_all.time_left([('alexnet', 60), ('vgg16', 480)], [vgg16], 0) == 'about 0:08:00'
    assert run_all.time_left([('alexnet', 60)], planned('--sweep'), 0) == 'unknown'


def test_a_terminal_shows_where_the_run_is_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(run_all.sys.stdout, 'isatty', lambda: True)
    log = tmp_path / 'log'
    log.write_text('x: step 0, duration = 1\n')
    progress = run_all.Progress()
    progress.begin('[1 of 1] alexnet: ', planned('--only', 'alexnet'), str(log))
    progress.tick()
    progress.end('ok')
    shown = capsys.readouterr().out.split('\r\033[K')
    assert shown[1:] == ['[1 of 1] alexnet: started; 0:00:00 elapsed, unknown left',
                         '[1 of 1] alexnet: Forward, step 0 of 100; 0:00:00 elapsed, unknown left',
                         '[1 of 1] alexnet: ok, 0 s\n']


# With a real script

def test_alexnet_itself(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')       # as --device cpu does, but put back
    monkeypatch.chdir(tmp_path)                          # the scripts are found from anywhere
    flags = ['--only', 'alexnet', '--device', 'cpu', '--batch_size', '1', '--num_batches', '1',
             '--num_steps_burn_in', '0', '--output', 'out']
    assert run_all.main(flags) == 0
    with open('out/alexnet-lrn-tensors-b1.json') as file:
        record = json.load(file)
    assert (record['status'], record['variant']) == ('finished', 'lrn')
    assert record['options']['batch_size'] == 1
    with open('out/alexnet-lrn-tensors-b1.log') as file:
        assert 'Forward-backward across 1 steps' in file.read()
    first = capsys.readouterr().out
    assert 'chapter' not in first.rpartition('network')[2]    # batch 1 is other work
    assert run_all.main(flags) == 0
    again = capsys.readouterr().out
    assert 'in an earlier call' in again
    assert again.rpartition('\n\n')[2] == first.rpartition('\n\n')[2]    # the same table
