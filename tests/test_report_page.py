"""suite/report/: the page shows every kind of record, and a browser reports no error."""
import copy
import html
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import drawings
import fake_job
import numpy as np
import pytest

from suite import compare
from suite.report import charts

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
               None)
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--disable-dev-shm-usage', '--hide-scrollbars', '--enable-logging=stderr', '--v=0',
         '--dump-dom']
in_browser = pytest.mark.skipif(not BROWSER, reason='chromium and google-chrome are not installed')
VARIANTS = [('alexnet', 'lrn'), ('alexnet', 'no_lrn'), ('vgg16', 'D'), ('vgg16', 'A-LRN'),
            ('inception_v3', 'aux'), ('resnet_v2', '152'), ('resnet_v2', '50')]
ODD = '<b>$x$ & "y" \u00fc \x07'         # what a name or a text may have
with open(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
    RECORD = json.load(file)
RECORD['network']['layers'] = RECORD['network']['layers'][:1]    # checking them takes the time


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


def repeats(mean_s, seed=0, benchmark='alexnet', variant='lrn', scatter=0.0):
    """Three records of the same work in fresh processes, whose means differ by `scatter`."""
    return {'%s-%s-r%d' % (benchmark, variant, i): record(
        benchmark, variant, mean_s=mean_s * (1 + scatter * (i - 2)), seed=seed + i)
        for i in (1, 2, 3)}


def changed(data, number=0, **entries):
    """The record with other values in one of its passes."""
    data['results'][number].update(entries)
    return data


def many():
    """Fifty records: all variants, a sweep that ends, and all kinds of faults."""
    records = {'%s-%s-r%d' % (network, variant, i): record(
        network, variant, mean_s=0.01 * (1 + n), share=0.1 + 0.05 * n, seed=10 * n + i)
        for n, (network, variant) in enumerate(VARIANTS) for i in range(1, 6)}
    records.update(('sweep-b%d' % batch, record(
        'vgg16', 'E', batch, 0.05 + 0.02 / batch, share=0.5 - 0.3 / batch))
        for batch in (2 ** i for i in range(10)))
    cut = changed(record('vgg16', 'C'), 1, samples_s=[], mean_s=None, sd_s=None, statistics=None)
    cut['status'] = 'interrupted'
    for key in ('faults', 'peak_bytes', 'flops'):
        cut['results'][1].pop(key)
    invalid = changed(record('alexnet', 'lrn_fc'), faults=['2 of 5 convolutions did not run'])
    records.update({
        'sweep-b1024': dict(record('vgg16', 'E', 1024), status='out_of_memory', results=[],
                            error='the memory of the device is not enough'),
        'cut': cut,
        ODD[:-1].strip(): changed(invalid, 1, warnings=[{'kind': 'throttled',
                                                         'text': '3 outliers ' + ODD}]),
        'refused': dict(record('resnet_v2', '101'), status='refused', results=[],
                        faults=['TF32 is on, ' + ODD]),
        'busy': dict(record('resnet_v2', '200'),
                     warnings=[{'kind': 'busy', 'text': 'the device was 40 % busy'}])})
    assert len(records) == 50
    return records


def write(folder, records):
    """Writes records by the name of their files; returns the path of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in records.items():
        (folder / (name + '.json')).write_text(json.dumps(data))
    return str(folder)


@pytest.fixture
def page(tmp_path):
    """A function that writes records to the folder `mine`, compares it with what else is named, and
    returns the page."""
    def make(records, *names):
        path = tmp_path / 'report.html'
        compare.main([write(tmp_path / 'mine', records), *names, '--html', str(path)])
        return checked(path.read_text(encoding='utf-8'), records)
    return make


@pytest.fixture(scope='module')
def fifty(tmp_path_factory):
    """The path of the page of many()."""
    folder = tmp_path_factory.mktemp('fifty')
    compare.main([write(folder / 'mine', many()), '--html', str(folder / 'report.html')])
    return folder / 'report.html'


def checked(text, records):
    """The page, after the checks that apply to every page: its tags are closed, its links lead
    somewhere, it loads nothing, no label of a chart covers anything, every text of the records is
    there, and none of them is HTML."""
    elements = list(xml.etree.ElementTree.fromstring(text).iter())
    ids, tags = [element.get('id') for element in elements], [element.tag for element in elements]
    assert len(set(ids) - {None}) == len(ids) - ids.count(None)
    assert {element.get('href') for element in elements} <= {None, *('#%s' % name for name in ids)}
    assert not [element for element in elements if '://' in ' '.join(element.attrib.values())]
    assert [tags.count(tag) for tag in ('main', 'h1')] == [1, 1]
    assert all(tags[i + 1] == 'caption' for i, tag in enumerate(tags) if tag == 'table')
    assert not re.search('<script|<link|<img|src=|<b>|@import|url\\(|&amp;(amp|lt);', text)
    for drawing in re.findall('(?s)<svg .*?</svg>', text):
        assert drawings.collisions(drawing) == []
        assert drawings.letters_px(drawing, 340) >= 12
    for data in records.values():
        parts = [data] + data['results']
        texts = [fault for part in parts for fault in part.get('faults', [])]
        texts += [caution['text'] for part in parts for caution in part.get('warnings', [])]
        for line in filter(None, texts + list(records) + [data['error']]):
            assert html.escape(line.replace('\x07', ' ')).replace('&quot;', '&#34;') in text
    return text


def headline(text):
    return html.unescape(re.search('<h1[^>]*>(.*?)</h1>', text).group(1))


def chart(text, caption):
    """The chart with this caption, as SVG."""
    return re.search('(?s)<figcaption>%s.*?(<svg.*?</svg>)' % re.escape(caption), text).group(1)


def labels(text, caption):
    """The texts of the chart with this caption."""
    return drawings.texts(chart(text, caption))


# The headline

@pytest.mark.parametrize('scale, scatter, word', [
    (1.0, 0.0, 'PASS'), (1.3, 0.0, 'FAIL'), (1.0, 0.2, 'UNDECIDED')])
def test_the_headline_is_the_outcome_of_the_gate(scale, scatter, word, page, tmp_path):
    after = write(tmp_path / 'after', repeats(0.03 * scale, seed=9, scatter=scatter))
    text = page(repeats(0.03), after, '--fail-if-slower', '5')
    assert headline(text) == word and '5 %% slower: 2 %s</p>' % word in text
    assert re.findall('<p class="row">(.*?) Forward', text) == [word + ': alexnet lrn'] * 2
    shown = labels(text, 'after against mine')
    assert len([label for label in shown if label.startswith(word)]) == 2
    assert 'Dashed: the limit of the gate' in text and 'dashed' in chart(text, 'after against mine')


def test_the_gate_names_its_rows_failures_first(page, tmp_path):
    before = dict(repeats(0.03), **repeats(0.1, 20, 'vgg16', 'D'), **repeats(0.2, 40, 'vgg16', 'E'))
    after = dict(repeats(0.03, 60), **repeats(0.1, 80, 'vgg16', 'D', scatter=0.2),
                 **repeats(0.3, 99, 'vgg16', 'E'))
    text = page(before, write(tmp_path / 'after', after), '--fail-if-slower', '5')
    rows = re.findall('<p class="row">(.*?) Forward tensors', text)
    assert rows == ['FAIL: vgg16 E', 'UNDECIDED: vgg16 D', 'PASS: alexnet lrn']
    assert '<summary>and 2 more</summary>' in text


def test_the_headline_of_two_sides_is_their_ratio(page, tmp_path):
    text = page(repeats(0.03), write(tmp_path / 'other', repeats(0.02, seed=9)))
    assert re.match(r'other against mine: time -33\.\d % \(-3\d\.\d to -3\d\.\d %\)$',
                    headline(text))
    assert '<span class="verdict good">faster</span>' in text
    assert re.search(r'mine [23]\d\.\d+, other [12]\d\.\d+ ms / batch\. All 2 rows: 2 faster</p>',
                     text)


INVALID = changed(changed(record(), faults=['a loss is NaN']), 1, faults=['a loss is NaN'])
FULL = dict(record(), status='out_of_memory', results=[], error='it is full')


@pytest.mark.parametrize('records, names, title, rest', [
    ({'a': record(batch_size=16)}, [], '15.01 ms / batch, 1066 images / s',
     '<span class="verdict good">ok</span>'),
    ({'a': record()}, [], "mine is 0.87 times as fast as the chapter's GTX 1080",
     'alexnet lrn Forward tensors batch 32 float32: 30.02 ms / batch, 1066 images / s'),
    ({'a': INVALID}, [], 'INVALID', '<p>0 of 2 figures of mine are valid</p>'),
    ({'a': INVALID}, ['chapter'], 'INVALID', '<p>0 of 2 figures of mine are valid</p>'),
    ({'a': record(batch_size=16)}, ['chapter'], 'No workload has valid figures on both sides',
     '<p>mine has 2 valid figures, chapter has'),
    ({'a': FULL}, [], 'mine has no figures', '<span class="verdict bad">out of memory</span>')])
def test_the_headline_of(records, names, title, rest, page):
    text = page(records, *names)
    assert headline(text) == title
    assert rest in text


@pytest.mark.parametrize('name, title', [
    ('server_gear', '709.4 images / s'),
    ('chapter', "anosy is 1.09 times as fast as the chapter's GTX 1080")])
def test_the_headline_of_published_figures(name, title, tmp_path):
    path = tmp_path / 'report.html'
    assert compare.main([name, '--html', str(path)]) == 0
    text = checked(path.read_text(encoding='utf-8'), {})
    assert headline(text) == title
    assert '<span class="verdict ">published</span>' in text and 'INVALID' not in text


# The charts

def test_a_ratio_has_a_row_for_each_work_and_is_hollow_without_a_verdict(page, tmp_path):
    slower = dict(repeats(0.06, 9), other=record('vgg16', 'D', seed=99))
    text = page(dict(repeats(0.03), other=record('vgg16', 'D')), write(tmp_path / 'slower', slower))
    shown = labels(text, 'slower against mine: alexnet lrn tensors batch 32 float32')
    assert shown[0] == 'Forward' and shown[2] == 'Forward-backward'
    assert re.fullmatch(r'\+100\.\d % \(\+9\d\.\d to \+10\d\.\d %\)', shown[1])
    assert 'hollow' not in chart(text, 'slower against mine: alexnet')
    assert chart(text, 'slower against mine: vgg16').count('hollow') == 2


@pytest.mark.parametrize('is_rate, ends, names', [
    (False, (0.5, 2.0), ['0', '-50 %', '+100 %', '+50 %', '-20 %', '+20 %', 'faster', 'slower']),
    (False, (0.99, 1.0), ['0', '-1 %', '-0.5 %', '-0.2 %', 'faster', 'slower']),
    (True, (0.02, 1.0), ['1', '50', '20', '10', '5', '2', '1.5', 'times as fast'])])
def test_the_axis_of_ratios_is_labelled_as_the_sentences_are(is_rate, ends, names):
    rows = [charts.Mark('a', ends[0], (), 'b', 'good')]
    drawing = charts.svg(charts.ratios('', rows, ends, None, is_rate))
    assert drawings.texts(drawing)[2:] == names
    assert drawings.collisions(drawing) == []


def test_a_ratio_beyond_the_axis_is_at_its_edge():
    rows = [charts.Mark('a', 1e9, (0.0, float('inf')), 'b', 'good')]
    drawing = charts.ratios('', rows, (0.0, float('inf')), None, False)
    assert drawing.dots[0][0] == charts.WIDTH - charts.MARGIN


@pytest.mark.parametrize('low, high, names', [
    (0, 30.02, [0, 10, 20, 30]), (0, 100, [0, 20, 40, 60, 80, 100]),
    (29.3, 31.2, [29.5, 30, 30.5, 31]), (-0.001, 0.001, [-0.001, -0.0005, 0, 0.0005, 0.001])])
def test_the_values_of_an_axis_are_round(low, high, names):
    assert charts.ticks(low, high, 5) == pytest.approx(names)


def test_times_stand_beside_published_ones_of_the_same_work(page, tmp_path):
    few = record(mean_s=0.02, seed=1)
    for entry in few['results']:
        entry['samples_s'] = entry['samples_s'][:5]      # too few for an interval
        entry['mean_s'] = np.mean(entry['samples_s'])
    text = page({'alexnet': record(share=0.5)}, write(tmp_path / 'few', {'alexnet': few}), 'anosy')
    caption = 'Forward, fetch tensors, batch 32:'
    shown = labels(text, caption)
    assert shown[::2][:3] == ['lrn, mine', 'lrn, few', 'lrn, GeForce GTX 1080 (chapter, 2016)']
    assert [shown[1], shown[5]] == ['30.02 ms, 50.0 % of peak', '26 ms']
    assert 'lrn, mine: 30.02 ms, 50.0 % of peak' in drawings.titles(chart(text, caption))
    assert chart(text, caption).count('class="interval"') == 1
    assert chart(text, caption).count('hollow') == 2     # few and chapter
    assert 'few against mine' in text and '<td>one process: no verdict</td>' in text


def test_what_a_few_records_do_not_need_is_left_out(page):
    text = page({'alexnet': record(batch_size=16)})
    assert labels(text, 'Forward, fetch tensors, batch 16:')[:2] == ['lrn, mine', '15.01 ms']
    assert '1 record: <span class="good">1 without a caution</span>' in text
    assert not re.search('GTX 1080 [(]chapter|<nav|Against the|Ratios', text)


def test_conditions_are_told_apart_in_full(page):
    records = {}
    for threads in (1, 2):
        data = records['t%d' % threads] = record(seed=threads)
        data['environment']['variables']['TF_A_RATHER_LONG_NAME_OF_A_SETTING'] = (
            'a value that is rather long too %d' % threads)
    shown = ' '.join(labels(page(records), 'Forward, fetch tensors, batch 32:'))
    for threads in (1, 2):
        assert ('lrn, mine, TF_A_RATHER_LONG_NAME_OF_A_SETTING a value that is rather long too %d'
                % threads) in shown


def test_the_curve_of_jobs(page):
    jobs = {'j%d' % size: fake_job.job(record(share=0.5), size, 1 - 0.02 * size)
            for size in (2, 4, 8)}
    text = page(dict(jobs, j1=record(share=0.5)))
    caption = 'mine: alexnet lrn, fetch tensors, batch 32 of each, float32: images / s of all'
    assert {'1', '2', '4', '8', 'Forward', 'Forward-backward'} <= set(labels(text, caption))
    assert chart(text, caption).count(' dashed"') == 2    # ideal, of each pass
    assert text.count('<td class="number">84.0 %</td>') == 2     # the efficiency of 8, of each pass
    assert 'in each of 8 processes' not in text          # one bar shows no more than the curve


def test_the_curve_of_one_job_begins_with_its_process_alone(page):
    job = fake_job.job(record(), 4)
    caption = 'mine: alexnet lrn, fetch tensors, batch 32 of each, float32: images / s of all'
    assert {'1', '4'} <= set(labels(page({'alexnet': job}), caption))
    for entry in job['results']:
        entry['faults'] = ['the step executed nothing']
    assert caption not in page({'alexnet': job, 'plain': record()})


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
    shown = labels(text, 'Forward, fetch tensors, batch 32:')
    times = [float(shown[shown.index(name) + 1].split(' ms')[0])
             for name in ('lrn, mine', 'lrn, mixed_float16, mine')]
    assert times[0] == pytest.approx(2 * times[1], 1e-3)
    assert 'mine against float32' in text
    assert 'Forward, mixed_float16: ms of each step' in text
    assert text.count('<summary>Forward by layer, from untimed, traced steps') == 1
    assert re.search(r'\n  conv1 &lt;x&gt; +10\.000 +20\.000', text)


def luminance(colour):
    """The relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else ''.join(2 * digit for digit in colour[1:])
    parts = [int(digits[i:i + 2], 16) / 255 for i in (0, 2, 4)]
    return np.dot([0.2126, 0.7152, 0.0722], [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts])


def test_everything_drawn_has_a_contrast_of_4_5(page):
    text = page({'alexnet': record()})
    themes = [dict(re.findall(r'--(\w+): (#[0-9a-f]+)', theme)) for theme in re.search(
        r'(?s)(:root .*?)(@media \(prefers-color-scheme: dark\).*?} })', text).groups()]
    assert set(re.findall(r'var\(--(\w+)\)', text)) <= set(themes[0]) == set(themes[1])
    for theme in themes:
        for name in set(theme) - {'page', 'card'}:
            for ground in ('page', 'card'):
                dark, light = sorted(luminance(theme[part]) for part in (name, ground))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, theme[name], ground)
    assert not re.findall('(?:fill|stroke|color|background): ?#', text)


# The rest of the page

def test_fifty_records(fifty):
    text = checked(fifty.read_text(encoding='utf-8'), many())
    assert len(text.encode('utf-8')) < 10 ** 6
    assert text.count('<article') == 50
    assert '50 records: <span class="bad">4 INVALID or not finished</span>' in text
    assert re.findall('<li><a href="#([a-z]+)">', text) == [
        'ratios', 'times', 'sweeps', 'comparison', 'runs']
    for what in ('ms / image', 'peak memory, MB', 'share of peak, %'):
        assert {'1', '512'} < set(labels(text, 'mine: vgg16 E, fetch tensors, float32: ' + what))
    assert '<p>batch 1024: out of memory</p>' in text
    shown = labels(text, 'Forward, fetch tensors, batch 32:')
    assert 'INVALID' in shown and '20.01 ms, 15.0 % of peak' in shown
    assert '<h3>cut <span class="bad">interrupted</span></h3>' in text
    assert 'INVALID: not checked, because the run ended in this pass' in text
    assert 'Forward-backward: 0 steps' in text
    assert re.search(r'<p class="note bad"><a href="#run-\d+">[^/]*</a>, Forward: INVALID: 2 of 5',
                     text)


def test_numbers_are_right_aligned_in_one_unit(page):
    data = changed(record(), 1, warnings=[{'kind': 'throttled', 'text': 'it drifted'}])
    text = page({'alexnet': data, 'other': record('resnet_v2', '50', seed=1)})
    comparison = re.search('(?s)<section id="comparison">.*?</section>', text).group()
    assert re.findall('<th scope="col" class="number">([^<]*)</th>', comparison)[-3:] == [
        'mean, ms', '95 % interval, ms', 'images / s']
    assert '(all: tensors batch 32 float32)' in comparison
    assert '<th scope="row">alexnet lrn Forward</th>' in comparison
    assert re.search(r'<td class="number">\d[\d.]* to \d[\d.]*</td>', comparison)
    assert re.search(r'<td class="number">[89]\d\.\d+<span class="mark"> \*</span>', comparison)


def test_records_that_are_no_repeats_are_said_to_be_none(page):
    text = page({'a': record(), 'b': record()})
    assert ('<p class="note bad">mine, alexnet lrn Forward tensors batch 32 float32: INVALID: its '
            '2 records are not repeats: two have identical steps</p>') in text
    assert 'INVALID' in labels(text, 'Forward, fetch tensors')


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
    data = changed(record(), warnings=[{'kind': 'throttled', 'text': 'step time drifted'}], layers=[
        {'name': 'conv1', 'forward_s': 0, 'backward_s': 0, 'flops': 10 ** 9, 'output_bytes': 1}])
    text = page({'alexnet': changed(data, 1, faults=['a gradient is NaN'])})
    assert '<summary>Forward: 100 steps</summary>' in text
    assert '<p class="note warn">caution: step time drifted</p>' in text
    assert re.search(r'<summary>Forward-backward: [\d.]+ ms / batch', text)
    assert '<p class="note bad">INVALID: a gradient is NaN</p>' in text and 'by layer' not in text


def test_no_text_of_a_record_is_html(page):
    """The page is checked by checked()."""
    data = changed(record(share=0.5), info_string=ODD, faults=[ODD])
    data.update(variant=ODD, warnings=[{'kind': 'odd', 'text': ODD}])
    data['options'][ODD] = data['environment']['variables'][ODD] = ODD
    data['environment']['device']['name'] = ODD
    data['results'][1]['info_string'] = '_' + ODD
    page({'alexnet': data, 'other': dict(data, status='failed', error=ODD)})


def test_a_file_that_is_no_record_is_named(page, tmp_path):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'torn.json').write_text('{"schema": 1,')
    text = page({'alexnet': record()})
    assert re.search('<p class="note bad">[^<]*torn.json: not JSON', text)
    assert text.count('<article') == 1


def test_the_same_records_give_the_same_page(fifty, tmp_path):
    path = tmp_path / 'report.html'                      # with sets in another order
    subprocess.run([sys.executable, '-m', 'suite', 'compare', str(fifty.parent / 'mine'),
                    '--html', str(path)], cwd=ROOT, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=dict(os.environ, PYTHONHASHSEED='1'))
    assert path.read_bytes() == fifty.read_bytes()


# In a browser

def browse(path, tmp_path):
    """Returns the page as the browser has it, and the lines of its console."""
    done = subprocess.run(
        [BROWSER, *FLAGS, '--user-data-dir=%s' % (tmp_path / 'browser'), 'file://%s' % path],
        capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0
    errors = done.stderr.decode('utf-8', 'replace')
    return done.stdout.decode('utf-8'), [line for line in errors.splitlines() if 'CONSOLE' in line]


def measured(text, widths, expression, tmp_path):
    """Returns what a JavaScript expression about the page gives in windows of these widths."""
    path = tmp_path / 'frames.html'
    frame = """<iframe width="%d" height="844" srcdoc="%s" onload="title = (%s).join(' ')">
        </iframe>"""
    path.write_text('<!DOCTYPE html><meta charset="utf-8">' + ''.join(
        frame % (width, html.escape(text), html.escape(expression)) for width in widths),
        encoding='utf-8')
    shown, console = browse(path, tmp_path)
    assert console == []
    return [list(map(float, values.split())) for values in re.findall(r' title="([\d. ]+)"', shown)]


@in_browser
@pytest.mark.slow
def test_nothing_is_wider_than_the_window_and_no_text_than_was_assumed(fifty, tmp_path):
    """Also with everything unfolded; tables scroll in their own boxes."""
    text = fifty.read_text(encoding='utf-8')
    widths_px = {label: charts.text_width(label)
                 for drawing in re.findall('(?s)<svg .*?</svg>', text)
                 for label in drawings.texts(drawing)}
    windows = [320, 390, 820, 1440]
    expression = """[contentDocument.documentElement.scrollWidth, Math.max(...Array.from(
        contentDocument.querySelectorAll('svg text'), text => text.getComputedTextLength() /
        %s[text.textContent]))]""" % json.dumps(widths_px)
    values = measured(text.replace('<details>', '<details open>'), windows, expression, tmp_path)
    assert [width for width, _ in values] == windows
    assert all(0.5 < share <= 1 for _, share in values)

    bad = tmp_path / 'bad.html'                          # the console would say it
    bad.write_text(text.replace('<main>', '<main><img src="x.png">'), encoding='utf-8')
    assert 'Content Security Policy' in browse(bad, tmp_path)[1][0]


@in_browser
@pytest.mark.slow
def test_printed_the_runs_are_left_out_unless_one_is_opened(fifty, tmp_path):
    """The number of pages, with all runs closed, without them, and with five of them open."""
    def pages(text):
        path, printed = tmp_path / 'a.html', tmp_path / 'a.pdf'
        path.write_text(text, encoding='utf-8')
        flags = [flag for flag in FLAGS if flag != '--dump-dom']
        subprocess.run([BROWSER, *flags, '--user-data-dir=%s' % (tmp_path / 'browser'),
                        '--print-to-pdf=%s' % printed, 'file://%s' % path], check=True,
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        return len(re.findall(rb'/Type /Page\b', printed.read_bytes()))
    text = fifty.read_text(encoding='utf-8')
    before, runs = text.split('<h2>Each run</h2>')
    plain = pages(text)
    assert plain == pages(before + '</section></main>') <= 20
    assert plain < pages(before + '<h2>Each run</h2>' + runs.replace(
        '<details>', '<details open>', 15)) < pages(text.replace('<details>', '<details open>'))


@in_browser
@pytest.mark.slow
@pytest.mark.parametrize('flags, verdict, number', [
    ((), '.verdict', 'h1'), (('--fail-if-slower', '5'), 'h1', 'header p:nth-of-type(2)')])
def test_the_first_screen_of_a_phone_has_a_number_and_a_verdict(flags, verdict, number, page,
                                                                tmp_path):
    """The place of the end of the first ratio, and of the first verdict, of 844 pixels."""
    text = page(repeats(0.03), write(tmp_path / 'other', repeats(0.02, seed=9)), *flags)
    assert re.search(r'\d', headline(text)) or 'PASS: alexnet lrn Forward' in text
    (bottoms,) = measured(text, [390], """['%s', '%s'].map(name => Math.ceil(
        contentDocument.querySelector(name).getBoundingClientRect().bottom))""" % (
            verdict, number), tmp_path)
    assert max(bottoms) < 400
