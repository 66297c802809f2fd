"""The start: its parts are no longer than an outside clock measures, and our code never waits."""
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
    now_s = iter([10.0, 12.0, 12.5])                     # second begins, first ends, second ends
    monkeypatch.setattr(startup.time, 'monotonic', lambda: next(now_s))
    monkeypatch.setattr(startup, '_began_s', 4.0)
    first, second = startup.Startup(), startup.Startup()
    first.end('import')
    second.end('import')
    assert first.seconds == {'import': 8.0}
    assert second.seconds == {'import': 2.5}


# Runs a script in which nothing may sleep, and nothing import Horovod.
AWAKE = """
import sys, time
def sleep(seconds):
    sys.exit('slept for %s s' % seconds)
time.sleep = sleep
import alexnet_benchmark
code = alexnet_benchmark.main()
assert 'horovod' not in sys.modules
sys.exit(code)
"""


@pytest.mark.slow
def test_the_parts_are_all_of_the_start_without_sleep_or_horovod(tmp_path):
    path, started_s = tmp_path / 'record.json', time.monotonic()
    subprocess.run([sys.executable, '-c', AWAKE, '--device', 'cpu', '--batch_size', '1',
                    '--forward_only', '--num_batches', '1', '--num_steps_burn_in', '2', '--json',
                    str(path)], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    wall_s = time.monotonic() - started_s
    parts = json.loads(path.read_text())['startup_s']
    assert list(parts) == ['import', 'device', 'graph', 'initialisation', 'first run', 'burn-in']
    assert min(parts.values()) > 0
    assert sum(parts.values()) <= wall_s + 0.02          # /proc rounds the start to 0.01 s
