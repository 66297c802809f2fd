"""A rehearsal of tools/gpu_programme.sh, with a stub in the place of python and horovodrun."""
import os
import subprocess

import pytest

pytestmark = pytest.mark.slow
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# It notes its words and ends as the real programme would, or as the file `behaviour` says.
STUB = """#!/bin/bash
words="${*//$'\\n'/ }"
echo "$words" >>calls
case $words in
    *'float("nan")'*) exit 1 ;;
    *262144*) echo 'The largest power of two worth trying: --batch_size 4096.'; exit 3 ;;
esac
. ./behaviour
"""
PARTS = ['doctor', 'chapter', 'chapter-ops', 'nan', 'alexnet-pytorch', 'vgg16-pytorch',
         'does-not-fit', 'advised-batch', 'profile-alexnet', 'profile-vgg16',
         'profile-inception_v3', 'profile-resnet_v2', 'tf32', 'mixed', 'xla', 'xla-resnet-50',
         'sweep-vgg16', 'sweep-resnet_v2', 'peers-alexnet', 'peers-vgg16', 'peers-inception_v3',
         'peers-resnet_v2', 'horovod-nccl', 'harness-cost', 'nvml', 'variants']


def test_the_programme(tmp_path):
    for path in 'tools', 'bin':
        (tmp_path / path).mkdir()
    with open(os.path.join(ROOT, 'tools', 'gpu_programme.sh'), encoding='utf-8') as file:
        (tmp_path / 'tools' / 'gpu_programme.sh').write_text(
            file.read().replace('part   doctor               30 ', 'part   doctor 1 '))
    for name in 'python', 'horovodrun', 'nvidia-smi':
        (tmp_path / 'bin' / name).write_text(STUB)
        (tmp_path / 'bin' / name).chmod(0o755)
    calls = tmp_path / 'calls'

    def run(behaviour, code, *flags, **variables):
        """Returns how each part ended, by its name."""
        (tmp_path / 'behaviour').write_text(behaviour)
        calls.write_text('')
        path = '%s:%s' % (tmp_path / 'bin', os.environ['PATH'])
        done = subprocess.run(
            ['bash', 'tools/gpu_programme.sh', 'out', '--device', 'cpu', *flags], cwd=tmp_path,
            env=dict(os.environ, PATH=path, **variables), stdout=subprocess.PIPE, text=True)
        assert done.returncode == code
        return {line.split()[0]: line.split(': ', 1)[1] for line in done.stdout.splitlines()}

    assert run('', 1, LIMIT_S='0') == dict.fromkeys(PARTS, 'no time left')
    endings = run("""case $words in
        *doctor) exec sleep 600 ;;
        *tf32*) echo 'TF32 needs a GPU.'; exit 3 ;; esac""", 1)
    assert list(endings) == PARTS
    assert {name: how for name, how in endings.items() if how != 'as expected'} == {
        'doctor': 'ended at its limit of 1 s', 'tf32': 'should end with 0: TF32 needs a GPU.'}
    advised, = (call for call in calls.read_text().splitlines() if ' --batch_size 4096' in call)
    assert advised.startswith('alexnet_benchmark.py ') and '--device cpu' in advised

    assert list(run('', 0)) == ['doctor', 'tf32']        # none of the others again
    assert run('', 2, '--batch_size', '1') == {}         # another command: another folder
