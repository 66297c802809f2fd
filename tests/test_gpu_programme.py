"""tools/gpu_programme.sh, with a stub in the place of python: what it runs, how it goes on."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.slow
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT = os.path.join(ROOT, 'tools', 'gpu_programme.sh')
LIMIT_S = 120                        # of what takes a moment: more than a busy machine needs

# It notes its words, one call a line, and ends as behaviour.sh says.
STUB = """#!/bin/bash
words="${*//$'\\n'/ }"
echo "$words" >>calls
code=0 said=done
case $words in
    *'float("nan")'*) code=1 said='INVALID: Forward: not finite: conv1, the first of 5 layers' ;;
    *262144*) code=3 said='The largest power of two worth trying: --batch_size 4096.' ;;
esac
. ./behaviour.sh
echo "$said"
exit "$code"
"""
PARTS = ['doctor', 'smoke', 'chapter', 'chapter-ops', 'nan', 'does-not-fit', 'profile-alexnet',
         'profile-vgg16', 'profile-inception', 'profile-resnet', 'variants-alexnet',
         'variants-resnet', 'variants-vgg', 'tf32', 'mixed', 'xla-alexnet', 'xla-resnet-50',
         'sweep-vgg', 'sweep-resnet', 'peers-alexnet', 'peers-vgg']


class Programme:
    """A copy of the script in a folder with the stub; its records go into `out`."""

    def __init__(self, folder):
        self.folder = folder
        for name in 'tools', 'bin':
            (folder / name).mkdir()
        with open(SCRIPT, encoding='utf-8') as file:
            (folder / 'tools' / 'gpu_programme.sh').write_text(file.read())
        (folder / 'bin' / 'python').write_text(STUB)
        (folder / 'bin' / 'python').chmod(0o755)
        self.behave('')

    def behave(self, commands):
        """What the stub does before it ends: it may set `code` and `said`."""
        (self.folder / 'behaviour.sh').write_text(commands)

    def start(self, *flags, **variables):
        path = '%s:%s' % (self.folder / 'bin', os.environ['PATH'])
        return subprocess.Popen(
            [shutil.which('bash'), 'tools/gpu_programme.sh', *flags], cwd=self.folder, text=True,
            env=dict(os.environ, **dict({'PATH': path}, **variables)), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def run(self, *flags, **variables):
        """Returns the exit code, the summary by part, and what was printed before it."""
        process = self.start(*flags, **variables)
        out, err = process.communicate(timeout=LIMIT_S)
        assert err == ''
        before, _, after = out.partition('\npart ')
        rows = [line.split(None, 3) for line in after.splitlines()[1:]]
        return process.returncode, {row[0]: (row[1], row[3]) for row in rows
                                    if row[0] in PARTS}, before

    def calls(self):
        """The calls since the last time."""
        path = self.folder / 'calls'
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text('')
        return lines

    def noted(self):
        lines = (self.folder / 'out' / 'programme.txt').read_text().splitlines()[1:]
        return [line.split()[0] for line in lines]


@pytest.fixture
def programme(tmp_path):
    return Programme(tmp_path)


def test_all_parts_in_order_and_none_again(programme):
    code, summary, _ = programme.run('out')
    assert code == 0
    assert list(summary) == PARTS == programme.noted()
    assert {name: exit_code for name, (exit_code, _) in summary.items() if exit_code != '0'} == {
        'nan': '1', 'does-not-fit': '3'}
    assert {outcome for _, outcome in summary.values()} == {'as expected'}
    calls = programme.calls()
    assert len(calls) == len(PARTS)
    folder = str(programme.folder / 'out')
    assert calls[0] == '-m suite doctor'
    assert calls[2:4] == ['-m suite run --protocol chapter --output %s%s' % (folder, more)
                          for more in ('', ' --fetch ops')]
    assert calls[9] == 'resnet_v2_benchmark.py --profile --json %s/profile/resnet_v2.json' % folder
    assert calls[19] == ('-m suite peers --only alexnet --json %s/peers/peers-alexnet.json'
                         % folder)
    assert (programme.folder / 'out' / 'logs' / 'smoke.txt').read_text() == 'done\n'

    code, again, before = programme.run('out')
    assert (code, again) == (0, summary)
    assert programme.calls() == [] and before.count('as expected in an earlier call') == len(PARTS)


def test_what_fails_does_not_stop_the_rest_and_is_run_again(programme):
    programme.behave("""case $words in
        *tf32*) code=3 said='TF32 needs a GPU.' ;;
        *262144*) code=0 ;;
    esac""")
    code, summary, before = programme.run('out')
    assert code == 1 and list(summary) == PARTS
    assert {name: row for name, row in summary.items() if row[1] != 'as expected'} == {
        'tf32': ('3', 'should end with 0'), 'does-not-fit': ('0', 'should end with 3')}
    assert re.search(r'tf32: .* should end with 0\n    TF32 needs a GPU\.\n', before)

    programme.calls()
    programme.behave('')
    code, summary, _ = programme.run('out')
    assert code == 0 and list(summary) == PARTS
    assert [call.split()[-1] for call in programme.calls()] == ['262144', 'tf32']


def test_the_expected_sentence_must_be_printed(programme):
    programme.behave("case $words in *262144*) said='Out of memory.' ;; esac")
    code, summary, _ = programme.run('out')
    assert code == 1
    assert summary['does-not-fit'] == (
        '3', "does not print 'The largest power of two worth trying: --batch_size'")


def test_a_part_that_takes_too_long_is_ended(programme):
    """The stub's limit is cut from 60 s; it would sleep for ten minutes."""
    script = programme.folder / 'tools' / 'gpu_programme.sh'
    text = script.read_text()
    assert text.count('part smoke               120 ') == 1
    script.write_text(text.replace('part smoke               120 ', 'part smoke 2 '))
    programme.behave('case $words in *forward_only*) exec sleep 600 ;; esac')
    code, summary, _ = programme.run('out')
    assert code == 1 and list(summary) == PARTS
    assert summary.pop('smoke') == ('124', 'ended at its limit of 2 s')
    assert {outcome for _, outcome in summary.values()} == {'as expected'}


def test_what_has_no_time_left_is_run_by_the_next_call(programme):
    """Each part would sleep for ten minutes, and the whole may take two seconds."""
    programme.behave('exec sleep 600')
    code, summary, _ = programme.run('out', LIMIT_S='2')
    assert code == 1 and list(summary) == PARTS
    begun = programme.noted()
    assert len(begun) <= 2 and begun == PARTS[:len(begun)]
    for name, row in summary.items():
        assert row == ('-', 'not run: no time left') or name in begun \
            and re.match(r'ended at its limit of [12] s$', row[1])

    programme.behave('')
    assert programme.run('out')[0] == 0
    assert programme.noted() == begun + PARTS


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_part_and_the_same_command_goes_on(number, programme):
    programme.behave("""case $words in *'fetch ops'*)
        trap 'echo kept; exit 130' TERM; touch waiting; while :; do sleep 0.05; done ;; esac""")
    process = programme.start('out')
    deadline = time.monotonic() + LIMIT_S
    while not (programme.folder / 'waiting').exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert err == '\nInterrupted. To continue: the same command again.\n'
    assert (programme.folder / 'out' / 'logs' / 'chapter-ops.txt').read_text() == 'kept\n'
    assert programme.noted() == PARTS[:3]

    programme.calls()
    programme.behave('')
    assert programme.run('out')[0] == 0
    assert programme.noted() == PARTS and len(programme.calls()) == len(PARTS) - 3


def test_the_flags_of_a_rehearsal(programme):
    flags = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '2']
    assert programme.run('out', *flags)[0] == 0
    calls = dict(zip(PARTS, programme.calls()))
    ending = ' '.join(flags)
    assert calls.pop('doctor') == '-m suite doctor'
    assert calls.pop('does-not-fit').endswith(ending + ' --batch_size 262144')
    for name, call in calls.items():
        if name.startswith('sweep'):
            assert call.endswith(' --device cpu --num_batches 2') and '--batch_size' not in call
        elif name.startswith('peers'):
            assert call.endswith(' --device cpu --batch_size 1')
        else:
            assert call.endswith(ending)

    process = programme.start('out')                     # the records are not of this command
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2 and 'name another folder' in err
    assert programme.calls() == []


@pytest.mark.parametrize('flags', [[], ['--device', 'cpu']])
def test_without_a_folder_nothing_runs(flags, programme):
    process = programme.start(*flags)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert err.startswith('usage: bash tools/gpu_programme.sh FOLDER')
    assert programme.calls() == []


def test_without_a_python_nothing_runs(programme):
    process = programme.start('out', PATH=str(programme.folder))
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 3
    assert err == ('There is no python on PATH: activate an environment, such as '
                   '. .venv-modern/bin/activate\n')
    assert not (programme.folder / 'out').exists()
