"""The timer, with a session and a clock that are not real."""
import dataclasses
import re

import pytest

from common.timing import Timing, time_tensorflow_run

STEP = re.compile(r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: step (\d+), duration = (\d+\.\d{3})$')
LAST = re.compile(r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: (\S+) across (\d+) steps, '
                  r'(\d+\.\d{3}) \+/- (\d+\.\d{3}) sec / batch$')


class FakeSession:
    """Each run lets the next of `durations` seconds pass (the last one again and again); `error` is
    raised in the run with this number, counted from 0."""

    def __init__(self, durations, error=None, fails_at=None):
        self.durations = list(durations)
        self.error, self.fails_at = error, fails_at
        self.now = 1000.0
        self.runs = []

    def run(self, target, feed_dict=None):
        if len(self.runs) == self.fails_at:
            raise self.error
        self.now += self.durations[min(len(self.runs), len(self.durations) - 1)]
        self.runs.append((target, feed_dict))

    def clock(self):
        return self.now


def timed(durations, error=None, fails_at=None, **options):
    session = FakeSession(durations, error, fails_at)
    return session, time_tensorflow_run(session, 'target', 'Forward', clock=session.clock,
                                        **options)


def test_the_defaults_are_the_chapters_110_runs():
    session, timing = timed([0.5])
    assert session.runs == [('target', None)] * 110
    assert len(timing.seconds) == 100
    assert len(timing.burn_in_seconds) == 10


def test_the_burn_in_is_left_out_and_kept_apart():
    session, timing = timed([8.0] * 3 + [0.5, 0.25], num_batches=2, num_steps_burn_in=3,
                            feed_dict={'keep_prob': 0.5})
    assert session.runs == [('target', {'keep_prob': 0.5})] * 5
    assert timing.burn_in_seconds == (8.0, 8.0, 8.0)
    assert timing.seconds == (0.5, 0.25)
    assert timing.mean == 0.375
    assert timing.sd == 0.125


@pytest.mark.parametrize('duration', [0.1, 0.026, 1 / 3, 1e-9, 0.0])
def test_constant_durations_have_no_deviation(duration):
    timing = Timing('Forward', [duration] * 100)
    assert timing.mean == duration                  # 99 of 100 summed would be 1 % less
    assert timing.sd == 0.0


def test_deviation_does_not_cancel():
    """The chapter's E[x^2] - mean^2 is off in the third digit here, or negative."""
    timing = Timing('Forward', [1e6 + 1e-3, 1e6 - 1e-3])
    assert timing.sd == pytest.approx(1e-3, rel=1e-6)


def test_constant_steps_end_to_end_print_the_chapters_lines(capsys):
    timed([0.026])
    lines = capsys.readouterr().out.splitlines()
    steps = [STEP.match(line) for line in lines[:-1]]
    assert [(m.group(1), m.group(2)) for m in steps] \
        == [(str(step), '0.026') for step in range(0, 100, 10)]
    assert LAST.match(lines[-1]).groups() == ('Forward', '100', '0.026', '0.000')


@pytest.mark.parametrize('burn_in', [0, 1, 7, 10, 13])
def test_the_printed_steps_do_not_depend_on_the_burn_in(capsys, burn_in):
    session, timing = timed([0.5], num_batches=21, num_steps_burn_in=burn_in)
    steps = [m.group(1) for m in map(STEP.match, capsys.readouterr().out.splitlines()) if m]
    assert steps == ['0', '10', '20']
    assert len(session.runs) == 21 + burn_in
    assert len(timing.seconds) == 21


def test_only_the_run_is_between_the_clock_readings():
    """A clock that advances by itself, once per reading, sees one interval per step."""
    readings = iter(range(1000))
    timing = time_tensorflow_run(FakeSession([0]), 'target', 'Forward', num_batches=3,
                                 num_steps_burn_in=2, clock=lambda: next(readings))
    assert timing.seconds == (1, 1, 1)
    assert next(readings) == 10


@pytest.mark.parametrize('option, value', [
    ('num_batches', 0), ('num_batches', -1), ('num_batches', 1.5), ('num_batches', '10'),
    ('num_batches', None), ('num_batches', True), ('num_steps_burn_in', -1),
    ('num_steps_burn_in', 0.5), ('num_steps_burn_in', None)])
def test_bad_counts_are_refused_before_anything_runs(option, value):
    session = FakeSession([0.5])
    with pytest.raises(ValueError, match='%s is %s: ' % (option, re.escape(repr(value)))):
        time_tensorflow_run(session, 'target', 'Forward', **{option: value})
    assert session.runs == []


@pytest.mark.parametrize('error', [KeyboardInterrupt(), ZeroDivisionError()])
@pytest.mark.parametrize('fails_at, burn_in, seconds', [
    (0, (), ()), (1, (8.0,), ()), (3, (8.0, 8.0), (0.5,))])
def test_an_error_carries_the_finished_steps(error, fails_at, burn_in, seconds, capsys):
    with pytest.raises(type(error)) as caught:
        timed([8.0, 8.0, 0.5], error, fails_at, num_batches=5, num_steps_burn_in=2)
    assert caught.value is error
    assert error.timing == Timing('Forward', seconds, burn_in)
    assert 'across' not in capsys.readouterr().out


def test_timing_is_immutable():
    samples = [1.0, 2.0]
    timing = Timing('Forward', samples)
    samples.append(3.0)
    assert timing.seconds == (1.0, 2.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        timing.seconds = ()


def test_what_other_processes_took_counts_and_telling_them_is_not_timed():
    session, told = FakeSession([8.0, 0.5, 0.25]), []

    def after_step(seconds):
        told.append(seconds)
        session.now += 100
        return max(seconds, 0.375)
    timing = time_tensorflow_run(session, 'target', 'Forward', num_batches=2, num_steps_burn_in=1,
                                 clock=session.clock, after_step=after_step)
    assert told == [8.0, 0.5, 0.25]
    assert timing == Timing('Forward', (0.5, 0.375), (8.0,))
