"""suite run: the lines on the screen while it runs."""
import pytest

from suite.run import command, plan, progress


def planned(*flags):
    return plan.make(command.argument_parser().parse_args(['--fetch', 'tensors', *flags]), 'gpu')


DAY = '2016-12-10 21:08:31.851750: '
FORWARD = DAY + 'Forward across 100 steps, 0.026 +/- 0.000 sec / batch\n'
BACKWARD = DAY + 'Forward-backward across 100 steps, 0.078 +/- 0.000 sec / batch\n'
STEPS = DAY + 'step 0, duration = 0.026\n' + DAY + 'step 10, duration = 0.026\n'


@pytest.mark.parametrize('log, where', [
    ('conv1   [32, 56, 56, 64]\n', 'Forward'),
    (STEPS, 'Forward, step 10 of 100'),
    (STEPS + FORWARD + 'Forward: 26 ms / batch\n', 'Forward-backward'),
    (STEPS + FORWARD + STEPS, 'Forward-backward, step 10 of 100'),
    (STEPS + FORWARD + STEPS + BACKWARD, 'Forward-backward')])
def test_the_position_is_read_from_the_chapters_lines(log, where):
    assert progress.position(log, planned()[0]) == where


@pytest.mark.parametrize('log, where', [
    ('', 'Forward'),
    (FORWARD + BACKWARD, 'Forward'),
    (FORWARD + BACKWARD + STEPS, 'Forward, step 10 of 100'),
    (FORWARD + BACKWARD + FORWARD + STEPS, 'Forward-backward, step 10 of 100'),
    (FORWARD + BACKWARD + FORWARD + BACKWARD, 'Forward-backward')])
def test_the_position_after_the_float32_baseline(log, where):
    assert progress.position(log, planned('--xla')[0]) == where


def test_the_time_left_comes_from_what_finished():
    alexnet, _, vgg16 = planned('--only', 'alexnet', 'vgg16')
    assert progress.time_left([], [alexnet], 0) == 'unknown'
    # by sqrt(138357544 / 2469696) = 7.485 times as long as AlexNet
    assert progress.time_left([(alexnet, 60)], [alexnet, vgg16], 20) == 'about 0:08:09'
    assert progress.time_left([(alexnet, 60)], [alexnet, vgg16], 70) == 'about 0:07:29'
    assert progress.time_left([(alexnet, 60), (vgg16, 449.1)], [vgg16], 0) == 'about 0:07:29'
    assert progress.time_left([(alexnet, 60)], planned('--sweep'), 0) == 'unknown'


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; clock.now_s is its time."""
    monkeypatch.setattr(progress.time, 'monotonic', lambda: clock.now_s)
    clock.now_s = 1000.
    return clock


def test_a_terminal_shows_where_the_run_is_in_one_line(monkeypatch, clock, capsys, tmp_path):
    monkeypatch.setattr(progress.sys.stdout, 'isatty', lambda: True)
    log = tmp_path / 'log'
    log.write_text('x: step 0, duration = 1\n')
    shows = progress.Progress()
    shows.begin('[1 of 1] alexnet: ', planned('--only', 'alexnet'), str(log))
    clock.now_s += 61
    shows.tick()
    shows.end('ok', is_finished=True)
    shown = capsys.readouterr().out.split('\r\033[K')
    assert shown[1:] == ['[1 of 1] alexnet: started; 0:00:00 elapsed, unknown left',
                         '[1 of 1] alexnet: Forward, step 0 of 100; 0:01:01 elapsed, unknown left',
                         '[1 of 1] alexnet: ok, 61 s\n']


def test_elsewhere_each_run_has_two_lines(clock, capsys, tmp_path):
    alexnet, _, vgg16 = planned('--only', 'alexnet', 'vgg16')
    (tmp_path / 'log').write_text(''.join('line %d\n' % i for i in range(9)))
    shows = progress.Progress()
    shows.begin('[1 of 2] alexnet: ', [alexnet, vgg16], str(tmp_path / 'log'))
    clock.now_s += 60
    shows.tick()
    shows.end('ok', is_finished=True)
    shows.begin('[2 of 2] vgg16: ', [vgg16], str(tmp_path / 'log'))
    shows.end('failed')
    shows.show_end_of_log('vgg16.json: damaged')
    assert capsys.readouterr().out == (
        '[1 of 2] alexnet: started; 0:00:00 elapsed, unknown left\n'
        '[1 of 2] alexnet: ok, 60 s\n'
        '[2 of 2] vgg16: started; 0:01:00 elapsed, about 0:07:29 left\n'
        '[2 of 2] vgg16: failed, 0 s\n'
        '    line 4\n    line 5\n    line 6\n    line 7\n    line 8\n    vgg16.json: damaged\n')
