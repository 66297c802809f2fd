"""benchmark.measure with a session that runs nothing: the order of the calls, and the record."""
import argparse

import pytest

from common import benchmark, record
from common.machine.device import Device
from common.startup import Startup
from common.stop import Stop
from common.tf1 import tf
from common.workload import Pass, Run, Workload

ARGS = argparse.Namespace(batch_size=2, num_batches=3, num_steps_burn_in=2, fetch='ops',
                          precision='float32', xla=False)


class FakeSession:
    """Notes when it is run; raises `error` in the step with this number, counted from 0."""

    def __init__(self, events, error=None, fails_at=None):
        self.events, self.error, self.fails_at = events, error, fails_at

    def run(self, fetches, feed_dict=None):
        self.events.append('step')
        if len(self.events) - 1 == self.fails_at:
            raise self.error


@pytest.fixture
def measured(monkeypatch):
    """Measures a pass; returns what happened, the record, and the error. `at` names the function at
    which `error` is raised, or is the number of a step."""
    def measure(error=None, at=None):
        events, data = [], {'startup_s': None, 'warnings': [], 'results': []}

        def call(place, name):
            function = getattr(place, name)

            def noted(*args):
                events.append(name)
                if name == at:
                    patch.undo()
                    raise error
                return None if name == 'examine' else function(*args)
            patch.setattr(place, name, noted)

        with tf.Graph().as_default(), monkeypatch.context() as patch:
            for place, name in [(benchmark, 'examine'), (benchmark.gpu.Sampler, '__enter__'),
                                (benchmark.gpu.Sampler, '__exit__'), (record, 'result')]:
                call(place, name)
            timed_pass = Pass('Forward', tf.constant([1.0], name='output'))
            run = Run(ARGS, Device('cpu', 'X', 'X'), None, Startup(),
                      Workload('alexnet', 'lrn', [timed_pass], []))
            steps = isinstance(at, int)
            try:
                benchmark.measure(run, FakeSession(events, error, at + 1 if steps else None),
                                  timed_pass, None, data)
            except BaseException as raised:
                return events, data, raised
        return events, data, None
    return measure


def test_nothing_happens_between_the_timed_steps(measured):
    events, data, error = measured()
    assert error is None
    assert events == ['__enter__'] + 5 * ['step'] + ['__exit__', 'result', 'examine']
    entry, = data['results']
    assert len(entry['samples_s']) == 3 and len(entry['burn_in_s']) == 2
    assert set(data['startup_s']) == {'first run', 'burn-in'}


@pytest.mark.parametrize('error, at, samples', [
    (MemoryError('no memory'), 3, 1), (MemoryError('no memory'), 0, None),
    (MemoryError('no memory'), 'examine', 3), (KeyboardInterrupt(), '__exit__', 3),
    (KeyboardInterrupt(), 'result', 3)])
def test_the_steps_before_an_error_are_kept_and_not_taken_for_checked(error, at, samples, measured):
    _, data, raised = measured(error, at)
    assert raised is error or isinstance(error, KeyboardInterrupt)
    entries = data['results']
    assert [len(entry['samples_s']) for entry in entries] == [samples] * (samples is not None)
    assert all('faults' not in entry for entry in entries)


def test_a_refused_pass_is_not_timed(measured, monkeypatch):
    def refuse(*_):
        raise Stop('wrong results', 1, 'refused')
    monkeypatch.setattr(benchmark.precision, 'is_requested', lambda run: True)
    monkeypatch.setattr(benchmark.precision, 'compared', refuse)
    events, data, raised = measured()
    assert str(raised) == 'wrong results' and events == [] and data['results'] == []
