"""suite run: what it does with scripts that fail in every way. The plan, the progress and the table
have test files of their own."""
import json
import os
import re
import signal
import subprocess
import sys
import time
from unittest.mock import ANY

import pytest

from common import networks
from suite.run import command, execute, plan

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORD = os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')
with open(RECORD) as file:
    ENVIRONMENT = dict(json.load(file)['environment'], tensorflow='2.0', commit='c' * 40,
                       variables={'OMP_NUM_THREADS': '2'})


def device(kind, name, sentence):
    return {'kind': kind, 'name': name, 'sentence': sentence, 'environment': dict(
        ENVIRONMENT, device=dict(ENVIRONMENT['device'], name=name))}


CPU = device('cpu', 'A CPU', 'A CPU, 2 threads: no GPU was found')
GPU = device('gpu', 'Some GPU', 'Some GPU: the first that CUDA shows')

LIMIT_S = 120                        # of what takes a moment: more than a busy machine needs

# A script in the place of all four. It writes a record as a real one does, but takes no time;
# behaviour.json beside it says what goes wrong, by the beginning of the record's name.
STUB = r"""
import json, os, re, sys, time
options = {'layers': False}
for name, value in re.findall(r'--(\w+)(?: ([^-]\S*))?', ' '.join(sys.argv[1:])):
    if value:
        options[name] = int(value) if value.isdigit() else value
    else:
        options[name.replace('no_', '')] = not name.startswith('no_')
path = options.pop('json')
run, folder = os.path.basename(path)[:-len('.json')], os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, 'calls'), 'a') as file:
    file.write(run + '\n')
with open(os.path.join(folder, 'behaviour.json')) as file:
    does = ''.join(does for name, does in json.load(file).items() if run.startswith(name))
print('Device: stub', flush=True)
with open('RECORD') as file:
    record = json.load(file)
entries, record['results'] = record['results'], []
record['options'] = options
record['environment']['device']['name'] = os.environ['STUB_DEVICE']
record['environment']['tensorflow'] = os.environ['STUB_TENSORFLOW']
record['environment'].update(json.loads(os.environ['STUB_CONDITIONS']))

def write(status):
    record['status'] = status
    with open(path, 'w') as file:
        json.dump(record, file)

def add(name):
    batch_size = options['batch_size']
    mean_s = 20. if does == 'slow' else 0.001 * batch_size
    record['results'].append(dict(
        entries[0], info_string=name, fetch=options['fetch'], batch_size=batch_size,
        mean_s=mean_s, samples_s=[mean_s], sd_s=0.0001, peak_bytes=5000000 * batch_size,
        warnings=[], faults=['nothing ran'] if does == 'invalid' else []))
    print('2026-11-24 01:00:00.000000: %s across 5 steps, 0.001 +/- 0.000 sec / batch' % name)

if does == 'crash at once':
    sys.exit('Traceback: a library is missing')
if does == 'no device':
    sys.exit(3)
add('Forward')
write('running')
if does.startswith('killed by '):
    os.kill(os.getpid(), int(does.split()[-1]))
if does == 'wait':
    try:
        print('waiting', flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        write('interrupted')
        sys.exit(130)
if does == 'out of memory':
    write('out_of_memory')
    sys.exit('Out of memory')
add('Forward-backward')
write('finished')
if does == 'damaged record':
    with open(path, 'w') as file:
        file.write('{"status": "fini')
sys.exit(does == 'invalid')
"""


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    """Stubs in the place of the scripts, on a GPU; stubs(behaviour) sets what goes wrong and
    returns what was called since the last time."""
    scripts = tmp_path / 'scripts'
    scripts.mkdir()
    for name in networks.NETWORKS:
        (scripts / networks.script(name)).write_text(STUB.replace('RECORD', RECORD))
    monkeypatch.setattr(plan, 'ROOT', str(scripts))
    monkeypatch.setattr(execute, 'find_device', lambda requested: GPU)
    monkeypatch.setitem(plan.DEFAULT_FETCH, 'gpu', 'tensors')        # half as many runs
    monkeypatch.setenv('STUB_DEVICE', GPU['name'])
    monkeypatch.setenv('STUB_TENSORFLOW', '2.0')
    monkeypatch.setenv('STUB_CONDITIONS', conditions())
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


def conditions(commit='c' * 40, variables=ENVIRONMENT['variables'], host=ENVIRONMENT['host'],
               **cpu):
    """The conditions of a record as its environment has them, in JSON; by default those of now."""
    return json.dumps({'commit': commit, 'variables': variables, 'host': host,
                       'cpu': dict(ENVIRONMENT['cpu'], **cpu)})


# Before anything runs

@pytest.mark.parametrize('flags', [
    ['--only', 'lenet'], ['--protocol', 'long'], ['--repeat', '0'], ['--repeat', '1001'],
    ['--batch_size', '0'],
    ['--device', 'tpu'], ['--sweep', '--batch_size', '4'], ['--fetch', 'all'],
    ['--sweep', '--precision', 'mixed'], ['--precision', 'float16']])
def test_bad_usage_runs_nothing(flags, stubs, capsys):
    assert command.main(flags) == 2
    assert flags[-2 if len(flags) > 1 else 0] in capsys.readouterr().err
    assert stubs() == []
    assert not os.path.exists('results-local')


def test_what_is_announced(stubs, monkeypatch, capsys):
    monkeypatch.setattr(execute, 'find_device', lambda requested: CPU)
    monkeypatch.setenv('STUB_DEVICE', CPU['name'])
    assert command.main(['--only', 'alexnet', '--output', 'out']) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        'Device: ' + CPU['sentence'],
        'Protocol: quick (default on a CPU): batch size 32, 3 steps after a burn-in of 1',
        ANY,                                             # test_suite_run_plan has it
        'Results: out']


def doctor(code):
    """The command of a doctor that runs this code; sys.argv[1:] is what it is asked."""
    return [sys.executable, '-c', code]


def says(device):
    return 'print(%r)' % json.dumps(device)


def test_the_device_comes_from_a_child(monkeypatch):
    code = 'import sys; print("chatter"); assert sys.argv[1:] == ["gpu"]; ' + says(GPU)
    monkeypatch.setattr(execute, 'DOCTOR', doctor(code))
    assert execute.find_device('gpu') == GPU


@pytest.mark.parametrize('code, sentence', [
    ('import sys; print("chatter\\nToo old.", file=sys.stderr); sys.exit(3)', 'Too old.\n'),
    ('raise ImportError("no TensorFlow")', 'exit code 1: ImportError: no TensorFlow\n'),
    ('import sys; sys.exit(3)', 'exit code 3\n'),
    ('import os; os.kill(os.getpid(), 11)', 'exit code -11\n'),
    (says(GPU) + '; 1 / 0', 'ZeroDivisionError: division by zero\n'),
    ('print("{}")', 'exit code 0\n'), ('print("[1]")', 'exit code 0\n'),
    ('print("no JSON")', 'exit code 0\n'), ('', 'exit code 0\n')])
def test_without_a_device_nothing_runs(code, sentence, stubs, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setattr(execute, 'DOCTOR', doctor(code))
    assert command.main([]) == 3
    error = capsys.readouterr().err
    assert error.endswith(sentence) and error.count('\n') == 1
    assert stubs() == []


# Running

def test_the_folder_is_named_by_date_machine_and_device(stubs, capsys):
    assert command.main(['--only', 'vgg16']) == 0
    folder, = os.listdir('results-local')
    assert re.match(r'\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d_[\w.-]+_Some-GPU$', folder)
    assert sorted(os.listdir(os.path.join('results-local', folder))) == [
        '.lock', 'vgg16-D-tensors-b32.json', 'vgg16-D-tensors-b32.log']
    assert 'Results: results-local/%s\n' % folder in capsys.readouterr().out


@pytest.mark.parametrize('does, words, shown, code', [
    ('crash at once', 'crashed: exit code 1', 'Traceback: a library is missing', 3),
    ('killed by 9', 'crashed: SIGKILL', 'A lack of memory is the usual cause of .*', 3),
    ('killed by 35', 'crashed: signal 35', 'Device: stub', 3),          # it has no name
    ('no device', 'could not run', 'Device: stub', 3),
    ('damaged record', 'no record', r'out/vgg16-D-tensors-b32\.json: not JSON.*', 3),
    ('out of memory', 'out of memory', 'Out of memory', 3),
    ('invalid', 'INVALID', 'Device: stub', 1)])
def test_what_fails_in_one_does_not_stop_the_rest(does, words, shown, code, stubs, capsys):
    stubs(vgg16=does)
    assert command.main(['--output', 'out']) == code
    assert len(stubs()) == 5
    out = capsys.readouterr().out
    assert '\r' not in out
    assert re.search(r'\[3 of 5\] vgg16-D-tensors-b32: %s, \d+ s\n(    .*\n)*    %s\n'
                     % (words, shown), out)
    rows = [line for line in out.splitlines() if re.match('AlexNet|VGG|Inception|ResNet', line)]
    assert len(rows) == (9 if does in ('crash at once', 'no device', 'damaged record') else 10)
    assert sum(words in row for row in rows if row.startswith('VGG')) == 1 + (code == 1)
    assert all(' ok' in row for row in rows if not row.startswith('VGG'))


def test_what_finished_is_not_run_again(stubs, capsys):
    stubs(vgg16='killed by 9', inception_v3='invalid', resnet_v2='out of memory')
    assert command.main(['--output', 'out']) == 3
    stubs()
    assert command.main(['--output', 'out']) == 1        # the invalid figures are still there
    assert stubs() == ['vgg16-D-tensors-b32', 'resnet_v2-152-tensors-b32']
    assert '[1 of 5] alexnet-lrn-tensors-b32: ok, in an earlier call\n' in capsys.readouterr().out
    assert command.main(['--output', 'out', '--repeat', '2', '--only', 'alexnet']) == 0
    assert stubs() == ['alexnet-lrn-tensors-b32-r2', 'alexnet-no_lrn-tensors-b32-r2']


@pytest.mark.parametrize('flags, variable', [
    (['--num_batches', '7'], None), ([], 'STUB_DEVICE'), ([], 'STUB_TENSORFLOW')])
def test_records_of_other_runs_are_neither_used_nor_overwritten(flags, variable, stubs,
                                                                monkeypatch, capsys):
    if variable:
        monkeypatch.setenv(variable, 'other')
    assert command.main(['--output', 'out', '--only', 'vgg16']) == 0
    stubs()
    assert command.main(['--output', 'out', '--only', 'vgg16'] + flags) == 2
    assert 'vgg16-D-tensors-b32.json in out was made with' in capsys.readouterr().err
    assert stubs() == []


def test_conditions_that_have_changed_are_named_with_how_to_run_again(stubs, monkeypatch, capsys):
    monkeypatch.setenv('STUB_CONDITIONS', conditions(
        'a' * 40, {'MKL_DYNAMIC': 'x'}, 'node7', usable_threads=1001, quota_cpus=1.5))
    assert command.main(['--output', 'out', '--only', 'vgg16', 'inception_v3']) == 0
    assert capsys.readouterr().err == ''
    stubs()
    monkeypatch.setenv('STUB_CONDITIONS', conditions())
    assert command.main(['--output', 'out', '--only', 'vgg16', 'inception_v3', 'resnet_v2']) == 0
    assert stubs() == ['resnet_v2-152-tensors-b32']      # what there is, is kept
    assert capsys.readouterr().err.splitlines() == [
        'out: 2 runs differ in host: node7, now %s' % ENVIRONMENT['host'],
        'out: 2 runs differ in CPUs: 1001, now 2',
        'out: 2 runs differ in CPU quota: 1.5, now none',
        'out: 2 runs differ in commit: %s, now %s' % ('a' * 40, 'c' * 40),
        'out: 2 runs differ in MKL_DYNAMIC: x, now (not set)',
        'out: 2 runs differ in OMP_NUM_THREADS: (not set), now 2',
        ('They are kept. To run them again, name another --output, or delete them and repeat this '
         'command: rm out/vgg16-D-tensors-b32.json out/inception_v3-aux-tensors-b32.json')]

    os.unlink('out/vgg16-D-tensors-b32.json')
    assert command.main(['--output', 'out', '--only', 'vgg16', 'resnet_v2']) == 0
    assert stubs() == ['vgg16-D-tensors-b32']
    assert capsys.readouterr().err == ''                 # nothing differs from now


DAMAGED = '{"schema": %d, "benchmark": 2, "results": [3], "status": "finished"}'


@pytest.mark.parametrize('text, code, line', [
    ('{"status": "fini', 0, 'not JSON, or cut short'),
    (DAMAGED % 1, 0, 'damaged: it must contain'), (DAMAGED % 2, 2, 'schema 2, and 1 is read')])
def test_a_damaged_record_is_run_again_and_that_of_another_version_kept(text, code, line, stubs,
                                                                        tmp_path, capsys):
    (tmp_path / 'out').mkdir()
    path = tmp_path / 'out' / 'vgg16-D-tensors-b32.json'
    path.write_text(text)
    assert command.main(['--output', 'out', '--only', 'vgg16']) == code
    assert stubs() == ([] if code else ['vgg16-D-tensors-b32'])
    error, = capsys.readouterr().err.splitlines()
    assert 'out/vgg16-D-tensors-b32.json: ' + line in error
    assert (path.read_text() == text) == bool(code)


def test_a_sweep_ends_where_memory_does_and_is_not_repeated(stubs, capsys):
    flags = ['--output', 'out', '--sweep', '--only', 'vgg16', 'inception_v3']
    stubs(vgg16__D__tensors__b8='out of memory', inception_v3__aux__tensors__b4='killed by 9')
    assert command.main(flags) == 3                      # for the crash
    assert stubs() == ['vgg16-D-tensors-b%d' % size for size in (1, 2, 4, 8)] \
        + ['inception_v3-aux-tensors-b%d' % size for size in (1, 2, 4)]
    out = capsys.readouterr().out
    assert '[1 of at most 34] vgg16-D-tensors-b1: started; 0:00:00 elapsed, unknown left' in out
    assert 'vgg16-D-tensors: the largest batch that ran is 4; 8: out of memory\n' in out
    assert 'inception_v3-aux-tensors: the largest batch that ran is 2; 4: crashed: SIGKILL\n' in out
    assert re.search(r'batch +ms / image +ms / batch +images / s +TFLOP / s +memory +copied +'
                     r'outcome', out)
    assert re.search(r'VGG-16 \(D\) +Forward-backward +4 +1\.000 +4 \+/- 9 +1 000 +0\.158 +'
                     r'20\.0 MB +1\.18 MB +ok\n', out)

    stubs(inception_v3__aux__tensors__b8='out of memory')
    assert command.main(flags) == 0
    assert stubs() == ['inception_v3-aux-tensors-b4', 'inception_v3-aux-tensors-b8']
    assert '8: out of memory' in capsys.readouterr().out.partition('largest')[2]

    stubs(resnet_v2='out of memory')                     # nothing fits
    assert command.main(['--sweep', '--only', 'resnet_v2']) == 3
    assert 'ran is none; 1: out of memory' in capsys.readouterr().out


def test_a_sweep_on_a_cpu_ends_when_a_step_takes_long(stubs, monkeypatch, capsys):
    stubs(vgg16__D__tensors__b2='slow')
    monkeypatch.setattr(execute, 'find_device', lambda requested: CPU)
    assert command.main(['--sweep', '--only', 'vgg16']) == 0
    assert len(stubs(vgg16__D__tensors__b2='slow')) == 2
    assert 'ran is 2; 2: larger ones were not tried, because its step took 20.0 s (limit on a CPU' \
        in capsys.readouterr().out
    assert '%g s' % execute.SWEEP_CPU_STEP_S in command.__doc__.replace('\n', ' ')

    monkeypatch.setattr(execute, 'find_device', lambda requested: GPU)
    monkeypatch.setattr(plan, 'SWEEP_LIMIT', 4)
    assert command.main(['--sweep', '--only', 'vgg16']) == 0
    assert 'the largest batch that ran is 4\n' in capsys.readouterr().out


def test_repetitions_stand_together_with_their_range(stubs, capsys):
    assert command.main(['--repeat', '2', '--only', 'vgg16', 'inception_v3']) == 0
    assert [name[-3:] for name in stubs()] == ['b32', 'b32', '-r2', '-r2']
    out = capsys.readouterr().out
    assert re.findall(r'(?m)^(VGG|Inception).* 32 +(\d) ', out) == [
        ('VGG', '1')] * 2 + [('VGG', '2')] * 2 + [('Inception', '1')] * 2 + [('Inception', '2')] * 2
    assert 'vgg16-D-tensors-b32, Forward: 32.000 to 32.000 ms / batch in 2 processes' in out


# Interrupted

CPU_DOCTOR = says(CPU)


def start(*flags, device_code=CPU_DOCTOR):
    """`python -m suite run` with the stubs and another doctor, in a process of its own."""
    code = ('import signal, sys; from common import files; from suite import __main__ as suite; '
            'from suite.run import execute, plan; '
            'signal.signal(signal.SIGINT, signal.SIG_IGN); '
            'suite.on_signals([signal.SIGINT, signal.SIGTERM]); '
            'plan.ROOT = %r; execute.DOCTOR = %r; sys.exit(files.guarded(suite.main))'
            % (plan.ROOT, doctor(device_code)))
    return subprocess.Popen(
        [sys.executable, '-c', code, 'run', '--only', 'vgg16', 'inception_v3', *flags], text=True,
        env=dict(os.environ, PYTHONPATH=ROOT, STUB_DEVICE=CPU['name']),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(path, words):
    deadline = time.monotonic() + LIMIT_S
    while not (os.path.exists(path) and words in open(path).read()):     # noqa: SIM115
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_the_child_write_its_record_and_says_how_to_go_on(number, stubs):
    stubs(inception_v3='wait')
    process = start()
    assert any('inception_v3' in line for line in iter(process.stdout.readline, ''))
    folder = os.path.join('results-local', os.listdir('results-local')[0])
    wait_for(os.path.join(folder, 'inception_v3-aux-tensors-b32.log'), 'waiting')
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert re.search(r'inception_v3-aux-tensors-b32: interrupted, \d+ s\n', out)
    assert re.search(r'(?m)^VGG-16 \(D\) +Forward ', out)     # the table of what finished
    assert err == ('Interrupted. To resume: %s -m suite run --only vgg16 inception_v3 --output '
                   '%s\n' % (sys.executable, folder))
    with open(os.path.join(folder, 'inception_v3-aux-tensors-b32.json')) as file:
        assert json.load(file)['status'] == 'interrupted'

    assert stubs() == ['vgg16-D-tensors-b32', 'inception_v3-aux-tensors-b32']
    assert start('--output', folder).wait(timeout=LIMIT_S) == 0
    assert stubs() == ['inception_v3-aux-tensors-b32']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_first_run(number, stubs):
    stubs(vgg16='wait')
    process = start('--output', 'out')
    wait_for('out/vgg16-D-tensors-b32.log', 'waiting')
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert re.search(r'vgg16-D-tensors-b32: interrupted, \d+ s\n\n$', out)   # and no table
    assert err.count('\n') == 1 and 'Interrupted. To resume: ' in err


def test_ctrl_c_before_the_first_run(stubs):
    process = start(device_code='import time; open("asked", "w").write("now"); time.sleep(600)')
    wait_for('scripts/asked', 'now')
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=LIMIT_S) == ('', 'Interrupted.\n')
    assert process.returncode == 130
    assert stubs() == []


def test_a_killed_parent_takes_the_child_with_it_and_the_folder_is_free(stubs):
    stubs(inception_v3='wait')
    process = start('--output', 'out')
    wait_for('out/inception_v3-aux-tensors-b32.log', 'waiting')
    process.kill()
    process.communicate(timeout=LIMIT_S)
    deadline = time.monotonic() + LIMIT_S
    stubs()
    while start('--output', 'out').wait(timeout=LIMIT_S) == 2:   # in use: the child is about to end
        assert time.monotonic() < deadline
    assert stubs() == ['inception_v3-aux-tensors-b32']


# Nothing ends in a traceback

@pytest.mark.parametrize('folder', ['/proc', '/dev/null', '/dev/null/out', '', 300 * 'x', 'file'])
def test_a_folder_that_cannot_be_used(folder, stubs, capsys):
    with open('file', 'w'):
        pass
    assert command.main(['--output', folder]) == 2
    assert capsys.readouterr().err.startswith('argument --output: ')
    assert stubs() == []


def test_a_folder_in_use_is_refused_and_let_go_afterwards(stubs, capsys):
    os.mkdir('out')
    with execute.locked('out'):
        assert command.main(['--output', 'out']) == 2
    assert 'out is in use by another `suite run`' in capsys.readouterr().err
    assert command.main(['--output', 'out', '--only', 'vgg16']) == 0
    assert command.main(['--output', 'out', '--only', 'vgg16', '--num_batches', '7']) == 2
    assert command.main(['--output', 'out', '--only', 'vgg16']) == 0
    with execute.locked('out'):
        pass
