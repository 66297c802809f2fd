"""docs/notebook.ipynb: its cells run as they stand. pip and IPython are stand-ins, and the run is
made short through the environment."""
import json
import os
import re
import shutil
import subprocess
import sys
import types

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHORT = '--only alexnet --batch_size 1 --num_batches 2 --num_steps_burn_in 0 --device cpu'


@pytest.mark.slow
def test_the_cells_run_as_they_stand(tmp_path, monkeypatch):
    pip = tmp_path / 'bin' / 'pip'
    pip.parent.mkdir()
    pip.write_text('#!/bin/sh\necho "$@" >>"%s"\n' % (tmp_path / 'installed'))
    pip.chmod(0o755)
    checkout = tmp_path / 'checkout'
    for name in 'common', 'suite', 'references', 'requirements', 'docs':
        shutil.copytree(os.path.join(ROOT, name), str(checkout / name))
    for name in os.listdir(ROOT):
        if name.endswith('_benchmark.py'):
            shutil.copy(os.path.join(ROOT, name), str(checkout))
    (checkout / 'results').mkdir()
    shown, printed, codes = [], [], {}
    monkeypatch.setitem(sys.modules, 'IPython', types.ModuleType('IPython'))
    monkeypatch.setitem(sys.modules, 'IPython.display', types.SimpleNamespace(
        SVG=lambda path: (checkout / path).read_text(encoding='utf-8'), display=shown.append))
    monkeypatch.setenv('PATH', os.pathsep.join(
        [str(pip.parent), os.path.dirname(sys.executable), os.environ['PATH']]))
    monkeypatch.setenv('BENCHMARK_FLAGS', SHORT)
    monkeypatch.chdir(checkout / 'docs')

    def system(command):
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        printed.append(done.stdout.decode())
        codes[command] = done.returncode
    with open(os.path.join(ROOT, 'docs', 'notebook.ipynb'), encoding='utf-8') as file:
        cells = json.load(file)['cells']
    names = {'system': system}
    for cell in cells:
        if cell['cell_type'] == 'code':
            exec(re.sub(r'(?m)^!(.*)$', r'system("\1")', ''.join(cell['source'])), names)
    assert (tmp_path / 'installed').read_text().splitlines() == [
        'install --quiet --no-deps tf_slim==1.1.0', 'install --quiet -r requirements/suite.txt']
    no_figure = codes.pop('python -m suite compare results-local/notebook chapter')
    assert no_figure == 2                                # the chapter's batch is 32
    assert len(codes) == 6 and set(codes.values()) == {0}
    assert shown and shown[0].startswith('<svg')
    assert 'AlexNet with LRN' in ''.join(printed)
