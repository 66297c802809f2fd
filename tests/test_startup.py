"""The start: its parts add up to what a clock outside sees, and nothing of ours waits in it."""
import json
import os
import subprocess
import sys
import time

import pytest

from common import report, startup

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_the_parts_follow_each_other(monkeypatch):
    now_s = iter([10.0, 12.5, 13.0])
    monkeypatch.setattr(startup.time, 'monotonic', lambda: next(now_s))
    monkeypatch.setattr(startup, '_began_s', None)       # another run began with the process
    start = startup.Startup()
    start.end('import')
    start.end('graph')
    assert start.seconds == {'import': 2.5, 'graph': 0.5}
    assert report.startup(start.seconds) == (
        'Start-up: 3.00 s from the command to the first timed step: import 2.50, graph 0.50')


def test_only_the_first_run_of_a_process_begins_with_it(monkeypatch):
    monkeypatch.setattr(startup, '_began_s', time.monotonic() - 100)
    first, second = startup.Startup(), startup.Startup()
    first.end('import')
    second.end('import')
    assert first.seconds['import'] == pytest.approx(100, abs=5)
    assert second.seconds['import'] < 5


def test_the_age_of_a_process():
    started_s = time.monotonic()
    script = 'import time; time.sleep(0.5); import common; print(common.startup.process_age_s())'
    done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, stdout=subprocess.PIPE,
                          check=True)
    assert 0.5 <= float(done.stdout) <= time.monotonic() - started_s + 0.02


def test_the_parts_are_all_of_the_start(tmp_path):
    """What TensorFlow needs to be imported is most of it: nothing waits."""
    path, started_s = tmp_path / 'record.json', time.monotonic()
    subprocess.run([sys.executable, 'alexnet_benchmark.py', '--device', 'cpu', '--batch_size', '1',
                    '--forward_only', '--num_batches', '1', '--num_steps_burn_in', '2', '--json',
                    str(path)], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    wall_s = time.monotonic() - started_s
    parts = json.loads(path.read_text())['startup_s']
    assert list(parts) == ['import', 'device', 'graph', 'initialisation', 'first run', 'burn-in']
    assert 0 < sum(parts.values()) <= wall_s + 0.02
    assert parts['import'] > max(parts.values()) / 2
    assert parts['burn-in'] > 0
