"""benchmark.measure with a session that runs nothing: the order of the calls, and the record."""
import argparse
import contextlib

import pytest

from common import benchmark, record
from common.cautions import Caution
from common.machine.device import Device
from common.probes import Found, Probe
from common.startup import Startup
from common.stop import Stop
from common.tf1 import tf
from common.workload import Pass, Run, Workload

ARGS = argparse.Namespace(batch_size=2, num_batches=3, num_steps_burn_in=2, fetch='ops',
                          precision='float32', xla=False)


class FakeSession:
    """Notes when it is run; fails in the step with this number, counted from 0."""

    def __init__(self, events, fails_at=None):
        self.events, self.fails_at, self.steps = events, fails_at, 0

    def run(self, fetches, feed_dict=None, options=None, run_metadata=None):
        self.events.append('step' if options is None else 'traced step')
        self.steps += 1
        if self.steps - 1 == self.fails_at:
            raise MemoryError('no memory')


class Noting(Probe):
    """Notes the calls of its methods; returns the findings that it was made with."""

    def __init__(self, run, name, events, found=None, refusal=None):
        super().__init__(run)
        self.name, self.events, self.refusal = name, events, refusal
        self.found = found or Found()

    def before(self, session, one):
        self.events.append(self.name + ' before')
        if self.refusal:
            raise Stop(self.refusal, 1, 'refused')

    @contextlib.contextmanager
    def watching(self):
        self.events.append(self.name + ' watches')
        yield
        self.events.append(self.name + ' has watched')

    def after(self, step):
        self.events.append('%s after %d steps' % (self.name, len(step.timing.seconds)))
        self.faults_before = list(step.faults)
        return self.found


@pytest.fixture
def run():
    with tf.Graph().as_default():
        one = Pass('Forward', tf.constant([1.0], name='output'))
        yield Run(ARGS, Device('cpu', 'X', 'X'), None, Startup(),
                  Workload('alexnet', 'lrn', [one], []))


def new_log():
    return {'startup_s': None, 'warnings': [], 'results': []}


def test_probes_see_a_pass_in_order_and_the_timed_steps_are_not_disturbed(run):
    events = []
    probes = [Noting(run, 'a', events), Noting(run, 'b', events)]
    benchmark.measure(run, probes, FakeSession(events), run.workload.passes[0], new_log())
    assert events == ['a before', 'b before', 'a watches', 'b watches'] + 5 * ['step'] + [
        'b has watched', 'a has watched', 'traced step', 'a after 3 steps', 'b after 3 steps']


def test_what_probes_find_is_in_the_record(run):
    events, log = [], new_log()
    probes = [Noting(run, 'a', events, Found({'flops': 7}, ['a fault'], [Caution('busy', 'x')])),
              Noting(run, 'b', events, Found({'peak_bytes': None}, ['another']))]
    benchmark.measure(run, probes, FakeSession(events), run.workload.passes[0], log)
    entry, = log['results']
    assert (entry['flops'], entry['peak_bytes']) == (7, None)
    assert entry['faults'] == ['a fault', 'another']
    assert {'kind': 'busy', 'text': 'x'} in entry['warnings']
    assert probes[1].faults_before == ['a fault']        # the last probe knows what others found
    assert len(entry['samples_s']) == 3 and len(entry['burn_in_s']) == 2
    assert set(log['startup_s']) == {'first run', 'burn-in'}


def test_a_refused_pass_is_not_timed(run):
    events, log = [], new_log()
    with pytest.raises(Stop, match='wrong results'):
        benchmark.measure(run, [Noting(run, 'a', events, refusal='wrong results')],
                          FakeSession(events), run.workload.passes[0], log)
    assert events == ['a before'] and log['results'] == []


def test_the_steps_before_an_error_are_kept_and_not_taken_for_checked(run):
    events, log = [], new_log()
    with pytest.raises(MemoryError):
        benchmark.measure(run, [Noting(run, 'a', events)], FakeSession(events, fails_at=3),
                          run.workload.passes[0], log)
    entry, = log['results']
    assert len(entry['samples_s']) == 1 and len(entry['burn_in_s']) == 2
    assert 'faults' not in entry


def test_an_error_in_a_probe_leaves_the_pass_unchecked(run):
    events, log = [], new_log()
    with pytest.raises(MemoryError):
        benchmark.measure(run, [Noting(run, 'a', events)], FakeSession(events, fails_at=5),
                          run.workload.passes[0], log)
    entry, = log['results']
    assert len(entry['samples_s']) == 3 and 'faults' not in entry


@pytest.mark.parametrize('moment', ['has watched', 'record'])
def test_ctrl_c_after_the_last_step_keeps_the_pass(moment, run, monkeypatch):
    log, result = new_log(), record.result

    def interrupted(*args):
        monkeypatch.setattr(record, 'result', result)
        raise KeyboardInterrupt

    class Interrupted(Noting):
        @contextlib.contextmanager
        def watching(self):
            yield
            if moment == 'has watched':
                raise KeyboardInterrupt

    if moment == 'record':
        monkeypatch.setattr(record, 'result', interrupted)
    with pytest.raises(KeyboardInterrupt):
        benchmark.measure(run, [Interrupted(run, 'a', [])], FakeSession([]), run.workload.passes[0],
                          log)
    entry, = log['results']
    assert len(entry['samples_s']) == 3 and 'faults' not in entry


def test_what_a_probe_knows_beforehand_is_merged_into_the_record():
    log = dict(new_log(), environment={'gpu': None, 'host': 'h'}, results=['baseline'])
    record.add(log, Found({'environment': {'gpu': 'X'}, 'results': ['more']},
                          cautions=[Caution('busy', 'y')]))
    assert log['environment'] == {'gpu': 'X', 'host': 'h'}
    assert log['results'] == ['baseline', 'more']
    assert log['warnings'] == [{'kind': 'busy', 'text': 'y'}]
