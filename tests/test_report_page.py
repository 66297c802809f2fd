"""suite/report/: the page shows every kind of record, and a browser reports no error."""
import copy
import html
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import fake_job
import markupsafe
import numpy as np
import pytest

from suite import compare, outcome
from suite.report import page as report_page

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
               None)
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--disable-dev-shm-usage', '--hide-scrollbars', '--enable-logging=stderr', '--v=0',
         '--dump-dom']
VARIANTS = [('alexnet', 'lrn'), ('alexnet', 'no_lrn'), ('vgg16', 'D'), ('vgg16', 'A-LRN'),
            ('inception_v3', 'aux'), ('resnet_v2', '152'), ('resnet_v2', '50')]
ODD = '<b>$x$ & "y" \u00fc \x07'         # what a name or a text may have
with open(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
    RECORD = json.load(file)


def record(benchmark='alexnet', variant='lrn', batch_size=32, mean_s=0.03, share=None, seed=0):
    """A record that finished, of another GPU and with other times than the real one it is from."""
    data = copy.deepcopy(RECORD)
    data.update(benchmark=benchmark, variant=variant, warnings=[])
    data['options'].update(batch_size=batch_size, fetch='tensors')
    data['environment']['device']['name'] = 'GPU X'
    data['environment']['peak_flops'] = share and 1e13
    random = np.random.default_rng(seed)
    for factor, entry in zip((1, 3), data['results']):
        steps = factor * mean_s * batch_size / 32 * random.normal(1, 0.01, 100)
        entry.update(batch_size=batch_size, fetch='tensors', share_of_peak=share, warnings=[],
                     samples_s=steps.tolist(), mean_s=steps.mean(), sd_s=steps.std(),
                     peak_bytes=factor * (batch_size + 10) * 10 ** 6)
    return data


@pytest.fixture
def page(tmp_path, capsys):
    """A function that writes records, by the name of their files, runs compare.py on the folder
    (and on what else is named), and returns the page."""
    def make(records, *names):
        folder = tmp_path / 'mine'
        folder.mkdir(exist_ok=True)
        for name, data in records.items():
            (folder / (name + '.json')).write_text(json.dumps(data))
        compare.main([str(folder), *names, '--html', str(tmp_path / 'report.html')])
        text = (tmp_path / 'report.html').read_text(encoding='utf-8')
        check(text, records)
        return text
    return make


def check(text, records):
    """Checks that apply to every page."""
    seen = Tags()
    seen.feed(text)
    seen.close()
    assert seen.open == []
    assert len(set(seen.ids)) == len(seen.ids)
    assert {link[1:] for link in seen.links} <= set(seen.ids)
    assert all(link.startswith('#') for link in seen.links)
    drawings = re.findall('(?s)<svg .*?</svg>', text)
    for drawing in drawings:
        xml.etree.ElementTree.fromstring(drawing)
    assert not re.search('<script|<link|<img|@import|url\\((?!#)', text)
    assert not re.search('#0a0b', text)                  # no colour that the page does not know
    for name, data in records.items():
        assert markupsafe.escape(name) in text
        texts = data['faults'] + [data['error'] or '']
        texts += [one['text'] for one in data.get('warnings', [])]
        for entry in data['results']:
            texts += entry.get('faults', []) + [one['text'] for one in entry['warnings']]
            assert len(drawings) > 0
        for one in texts:
            assert markupsafe.escape(one.replace('\x07', ' ')) in text


class Tags(html.parser.HTMLParser):
    """Collects ids, links and unclosed tags."""
    VOID = {'meta', 'br'}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []

    def handle_startendtag(self, tag, attrs):
        self._note(attrs)

    def handle_starttag(self, tag, attrs):
        self._note(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def _note(self, attrs):
        assert not [value for key, value in attrs
                    if '://' in (value or '') and not key.startswith('xmlns')]
        self.ids += [value for key, value in attrs if key == 'id']
        self.links += [value for key, value in attrs if key in ('href', 'xlink:href', 'src')]


def many():
    """Fifty records: all variants, a sweep that ends, and all kinds of faults."""
    found = {'%s-%s-r%d' % (network, variant, i): record(
        network, variant, mean_s=0.01 * (1 + n), share=0.1 + 0.05 * n, seed=10 * n + i)
        for n, (network, variant) in enumerate(VARIANTS) for i in range(1, 6)}
    found.update(('sweep-b%d' % batch, record(
        'vgg16', 'E', batch, 0.05 + 0.02 / batch, share=0.5 - 0.3 / batch))
        for batch in (2 ** i for i in range(10)))
    memory = dict(record('vgg16', 'E', 1024), status='out_of_memory', results=[],
                  error='the memory of the device is not enough')
    cut = record('vgg16', 'C')
    cut['status'] = 'interrupted'
    for key in ('faults', 'peak_bytes', 'flops', 'statistics'):
        cut['results'][1].pop(key)
    cut['results'][1].update(samples_s=[], mean_s=None, sd_s=None, statistics=None)
    invalid = record('alexnet', 'lrn_fc')
    invalid['results'][0]['faults'] = ['2 of 5 convolutions did not run']
    invalid['results'][1]['warnings'] = [{'kind': 'throttled', 'text': '3 outliers ' + ODD}]
    refused = dict(record('resnet_v2', '101'), status='refused', results=[],
                   faults=['TF32 is on, ' + ODD])
    busy = dict(record('resnet_v2', '200'),
                warnings=[{'kind': 'busy', 'text': 'the device was 40 % busy'}])
    found.update({'sweep-b1024': memory, 'cut': cut, ODD[:-1].strip(): invalid, 'refused': refused,
                  'busy': busy})
    assert len(found) == 50
    return found


def bars(text, caption):
    """The texts of the chart with this caption."""
    drawing = re.search('(?s)<figcaption>%s.*?</svg>' % re.escape(caption), text).group()
    return [html.unescape(one) for one in re.findall('<text [^>]*>([^<]*)</text>', drawing)]


def test_one_record_stands_beside_the_chapter(page):
    text = page({'alexnet': record()})
    assert '1 record: <span class="good">1 without a caution</span>' in text
    assert bars(text, 'Forward, fetch tensors, batch 32:')[-4:] == [
        'lrn, mine', '%.2f ms' % (1e3 * np.mean(record()['results'][0]['samples_s'])),
        'lrn, GeForce GTX 1080 (chapter, 2016)', '26 ms']
    assert 'Not the same work' in text
    assert 'Against the batch size' not in text
    assert 'these devices have no float32 peak here' in text


def test_other_work_has_no_reference_beside_it(page):
    text = page({'alexnet': record(batch_size=16)})
    assert bars(text, 'Forward, fetch tensors, batch 16:')[-2].startswith('lrn, mine')
    assert 'GeForce GTX 1080 (' not in text


def test_no_references(page, monkeypatch):
    monkeypatch.setattr(report_page, 'reference_names', list)
    text = page({'alexnet': record()})
    assert 'GTX' not in text
    assert bars(text, 'Forward, fetch tensors')[-2] == 'lrn, mine'


@pytest.mark.slow
def test_fifty_records(page):
    text = page(many())
    assert text.count('<article') == 50
    assert '50 records: <span class="bad">4 INVALID or not finished</span>' in text
    for caption in ('ms / image', 'peak memory, MB', 'share of peak, %'):
        assert 'mine: vgg16 E, fetch tensors, float32: ' + caption in text
    assert '<p>batch 1024: out of memory</p>' in text
    shown = bars(text, 'Forward, fetch tensors, batch 32:')
    assert 'INVALID' in shown
    shares = bars(text, 'alexnet: share of peak')
    assert '10.0 %' in shares and '15.0 %' in shares
    assert not any('lrn_fc' in one for one in shares)


def test_the_interval_of_the_mean_is_drawn(page):
    few = record()
    for entry in few['results']:
        entry['samples_s'] = entry['samples_s'][:5]
        entry['mean_s'] = np.mean(entry['samples_s'])
    caption = 'Forward, fetch tensors, batch 32'
    whiskers = []
    for data in (record(), few):
        text = page({'alexnet': data})
        drawing = re.search('(?s)<figcaption>%s.*?</svg>' % caption, text).group()
        whiskers.append(drawing.count('stroke: var(--text)'))
    assert whiskers[0] == whiskers[1] + 3                # the line and its two ends


@pytest.mark.parametrize('status', ['interrupted', 'running', 'failed'])
def test_a_run_without_a_step(status, page):
    cut = dict(record(), status=status, results=[], error='it broke')
    text = page({'cut': cut})
    assert '<h3>cut <span class="bad">%s</span></h3>' % outcome.of_run(cut) in text


def test_a_pass_without_samples_is_invalid(page):
    text = page({'cut': many()['cut']})
    assert '<h3>cut <span class="bad">interrupted</span></h3>' in text
    assert 'INVALID: not checked, because the run ended in this pass' in text
    assert 'Forward-backward: 0 steps' in text


def test_records_that_are_no_repeats_are_said_to_be_none(page):
    text = page({'a': record(), 'b': record()})
    assert ('<p class="note bad">mine, alexnet lrn Forward, batch 32: INVALID: its 2 records are '
            'not repeats: two have identical steps</p>') in text
    assert 'INVALID' in bars(text, 'Forward, fetch tensors')


def test_two_conditions_are_two_bars(page):
    other = record(seed=1)
    other['environment']['tensorflow'] = '2.0'
    text = page({'a': record(), 'b': other})
    assert {'lrn, mine, tensorflow 1.15.0', 'lrn, mine, tensorflow 2.0'} <= set(
        bars(text, 'Forward, fetch tensors'))


def test_no_more_is_needed_than_the_schema_asks(page):
    """Of the passes of runs that were cut short, and of older versions."""
    bare = record()
    bare['options'] = {}
    del bare['warnings']
    for entry in bare['results']:
        entry['statistics'] = None
        for key in ('peak_bytes', 'share_of_peak', 'gpu', 'flops', 'convolutions'):
            del entry[key]
    text = page({'bare': bare})
    assert 'Forward: 100 steps' in text
    assert 'alexnet lrn, batch -; GPU X' in text


def test_a_damaged_profile_costs_its_pass_the_printed_lines_alone(page):
    data = record()
    data['results'][0].update(
        warnings=[{'kind': 'throttled', 'text': 'step time drifted'}],
        layers=[{'name': 'conv1', 'forward_s': 0, 'backward_s': 0, 'flops': 10 ** 9,
                 'output_bytes': 1}])
    text = page({'alexnet': data})
    assert '<p class="pass">Forward: 100 steps</p>' in text
    assert '<p class="note warn">caution: step time drifted</p>' in text
    assert '<p class="pass">Forward-backward: ' in text and 'by layer' not in text


def test_what_a_run_printed_has_the_colour_of_what_it_says(page):
    data = record()
    data['results'][0]['warnings'] = [{'kind': 'throttled', 'text': 'step time drifted'}]
    data['results'][1]['faults'] = ['a gradient is NaN']
    card = page({'alexnet': data}).partition('<article')[2]
    assert re.search(r'<p class="pass">Forward: [\d.]+ ms / batch', card)
    assert re.search(r'<p class="note warn">\w+: step time drifted</p>', card)
    assert '<p class="note bad">INVALID: a gradient is NaN</p>' in card


def test_no_text_of_a_record_is_html_or_mathematics(page):
    data = record(share=0.5)
    data.update(variant=ODD, warnings=[{'kind': 'odd', 'text': ODD}])
    data['options'][ODD] = data['environment']['variables'][ODD] = ODD
    data['environment']['device']['name'] = ODD
    data['results'][0].update(info_string=ODD, faults=[ODD])
    data['results'][1]['info_string'] = '_' + ODD
    text = page({'alexnet': data, 'other': dict(data, status='failed', error=ODD)})
    assert '<b>' not in text and '&amp;amp;' not in text and '&amp;lt;' not in text


def test_a_file_that_is_no_record_is_named(page, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'torn.json').write_text('{"schema": 1,')
    text = page({'alexnet': record()})
    assert re.search('<p class="note bad">[^<]*torn.json: not JSON', text)
    assert text.count('<article') == 1


def test_plain_and_faster_in_one_record(page):
    data = record(share=0.5)
    for entry in copy.deepcopy(data['results']):
        entry['samples_s'] = [s / 2 for s in entry['samples_s']]
        entry.update(precision='mixed_float16', xla=False, mean_s=entry['mean_s'] / 2,
                     difference={'relative_l2': 0.001, 'allowed': 0.02}, share_of_peak=None,
                     layers=[{'name': 'conv1 <x>', 'forward_s': 0.01, 'backward_s': 0.02,
                              'flops': 10 ** 9, 'output_bytes': 10 ** 6}])
        data['results'].append(entry)
    text = page({'alexnet': data})
    shown = bars(text, 'Forward, fetch tensors, batch 32:')
    plain, faster = shown.index('lrn, mine'), shown.index('lrn, mixed_float16, mine')
    assert float(shown[plain + 1][:-3]) == pytest.approx(2 * float(shown[faster + 1][:-3]), 1e-3)
    assert 'mine against float32' in text
    assert 'Forward, mixed_float16: ms of each step' in text
    assert len(re.findall(r'mixed_float16: [\d.]+ times .* rate of float32; the', text)) == 2
    assert text.count('<summary>Forward by layer, from untimed, traced steps') == 1
    assert re.search(r'\n  conv1 &lt;x&gt; +10\.000 +20\.000', text)


def test_the_curve_of_jobs(page):
    jobs = {'j%d' % size: fake_job.job(record(share=0.5), size, 1 - 0.02 * size)
            for size in (2, 4, 8)}
    text = page(dict(jobs, j1=record(share=0.5)))
    caption = 'mine: alexnet lrn, fetch tensors, batch 32 of each, float32: images / s of all'
    shown = bars(text, caption)
    assert {'1', '2', '4', '8', 'Forward', 'Forward-backward'} <= set(shown)
    drawing = re.search('(?s)<figcaption>%s.*?</svg>' % re.escape(caption), text).group()
    assert drawing.count('stroke-dasharray') == 2        # ideal, of each pass
    assert text.count('<td>84.0 %</td>') == 2           # the efficiency of 8, of each pass
    assert 'mine: scaling' not in text                   # not once more in the comparison
    assert 'in each of 8 processes' not in text          # one bar shows no more than the curve
    assert re.search(r'<p class="note warn"><a href="#run-\d">j\d</a>, Forward: rank \d on host1 '
                     r'\(GPU X\) is a straggler \(and 5 more like it\)</p>', text)


def test_the_curve_of_one_job_begins_with_its_process_alone(page):
    job = fake_job.job(record(), 4)
    caption = 'mine: alexnet lrn, fetch tensors, batch 32 of each, float32: images / s of all'
    assert {'1', '4'} <= set(bars(page({'alexnet': job}), caption))
    for entry in job['results']:
        entry['faults'] = ['the step executed nothing']
    assert caption not in page({'alexnet': job, 'plain': record()})


def test_two_folders_and_a_reference(page, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'alexnet.json').write_text(json.dumps(record(mean_s=0.02, seed=1)))
    text = page({'alexnet': record()}, str(other), 'anosy')
    assert 'mine: alexnet' in text and 'other: alexnet' in text
    assert 'other against mine' in text and '<td>one process: no verdict</td>' in text
    assert [one for one in bars(text, 'Forward, fetch tensors') if ', ' in one] == [
        'lrn, mine', 'lrn, other', 'lrn, GeForce GTX 1080 (chapter, 2016)']


def test_the_same_records_give_the_same_page(page):
    assert page({'alexnet': record()}) == page({'alexnet': record()})


@pytest.mark.parametrize('package', ['matplotlib', 'jinja2'])
def test_one_sentence_says_which_package_to_install(package, tmp_path):
    (tmp_path / (package + '.py')).write_text('raise ImportError("No module named %s")' % package)
    done = subprocess.run(
        [sys.executable, '-m', 'suite', 'compare', 'chapter', '--html',
         str(tmp_path / 'report.html')],
        cwd=ROOT, env=dict(os.environ, PYTHONPATH=str(tmp_path)), capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(
        r'Nothing done: --html needs matplotlib and jinja2 \(No module named %s\): '
        r'python[\d.]* -m pip install matplotlib jinja2\.\n' % package, done.stderr)


def test_where_the_page_cannot_be_written(tmp_path, capsys):
    record_path = os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')
    assert compare.main([record_path, '--html', str(tmp_path / 'no' / 'report.html')]) == 3
    assert 'No such file or directory' in capsys.readouterr().err
    assert compare.main([record_path, '--html', record_path]) == 2
    assert 'would be taken for a record' in capsys.readouterr().err


# In a browser

def browse(path, tmp_path):
    """Returns the page as the browser has it, and the lines of its console."""
    done = subprocess.run(
        [BROWSER, *FLAGS, '--user-data-dir=%s' % (tmp_path / 'browser'), 'file://%s' % path],
        capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0
    errors = done.stderr.decode('utf-8', 'replace')
    return done.stdout.decode('utf-8'), [line for line in errors.splitlines() if 'CONSOLE' in line]


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason='no chromium, chromium-browser or google-chrome here')
def test_a_browser_shows_every_record_and_has_an_empty_console(page, tmp_path):
    text = page(many())
    shown, console = browse(tmp_path / 'report.html', tmp_path)
    assert console == []
    assert shown.count('<article') == 50 and '\ufffd' not in shown
    for name in many():
        assert html.escape(name, quote=False) in shown
    assert shown.count('</svg>') == text.count('</svg>') > 100

    bad = tmp_path / 'bad.html'                          # the console would say it
    bad.write_text(text.replace('<h1>', '<img src="x.png"><h1>'), encoding='utf-8')
    assert 'Content Security Policy' in browse(bad, tmp_path)[1][0]


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason='no chromium, chromium-browser or google-chrome here')
def test_nothing_is_wider_than_the_window(page, tmp_path):
    frames = """<iframe width="%d" height="800" srcdoc="%s"
        onload="title = contentDocument.documentElement.scrollWidth"></iframe>"""
    text, widths = html.escape(page(many())), [320, 360, 800, 1400]
    path = tmp_path / 'frames.html'
    path.write_text('<!DOCTYPE html><meta charset="utf-8">'
                    + ''.join(frames % (width, text) for width in widths), encoding='utf-8')
    shown, console = browse(path, tmp_path)
    assert console == []
    assert list(map(int, re.findall(r' title="(\d+)"', shown))) == widths
