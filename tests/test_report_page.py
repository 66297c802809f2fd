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
from suite.report import charts

pytestmark = pytest.mark.slow         # matplotlib draws several charts for each

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


@pytest.fixture(scope='module')
def fifty(tmp_path_factory):
    """The path of the page of many()."""
    folder = tmp_path_factory.mktemp('fifty')
    (folder / 'mine').mkdir()
    for name, data in many().items():
        (folder / 'mine' / (name + '.json')).write_text(json.dumps(data))
    compare.main([str(folder / 'mine'), '--html', str(folder / 'report.html')])
    return folder / 'report.html'


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


@pytest.fixture
def side(tmp_path):
    """A function that writes records to a folder, and returns its path."""
    def write(name, records):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for record_name, data in records.items():
            (folder / (record_name + '.json')).write_text(json.dumps(data))
        return str(folder)
    return write


def repeats(mean_s, seed=0, benchmark='alexnet', variant='lrn', scatter=0.0):
    """Three records of the same work in fresh processes, whose means differ by `scatter`."""
    return {'%s-%s-r%d' % (benchmark, variant, i): record(
        benchmark, variant, mean_s=mean_s * (1 + scatter * (i - 2)), seed=seed + i)
        for i in (1, 2, 3)}


def headline(text):
    return html.unescape(re.search('<h1[^>]*>(.*?)</h1>', text).group(1))


def check(text, records):
    """Checks that apply to every page."""
    seen = Tags()
    seen.feed(text)
    seen.close()
    assert seen.open == []
    assert len(set(seen.ids)) == len(seen.ids)
    assert {link[1:] for link in seen.links} <= set(seen.ids)
    assert all(link.startswith('#') for link in seen.links)
    assert [seen.tags.count(tag) for tag in ('main', 'h1')] == [1, 1]
    assert set(seen.scopes) <= {'col', 'row'}
    assert all(seen.tags[i + 1] == 'caption' for i, tag in enumerate(seen.tags) if tag == 'table')
    assert 'not known' not in text.lower()
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
        self.open, self.ids, self.links, self.tags, self.scopes = [], [], [], [], []

    def handle_startendtag(self, tag, attrs):
        self._note(attrs)

    def handle_starttag(self, tag, attrs):
        self._note(attrs)
        self.tags.append(tag)
        if tag == 'th':
            self.scopes.append(dict(attrs).get('scope'))
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


# The headline

@pytest.mark.parametrize('scale, scatter, limit, word, counts', [
    (1.0, 0.0, '5', 'PASS', '2 PASS'), (1.3, 0.0, '5', 'FAIL', '2 FAIL'),
    (1.3, 0.0, '50', 'PASS', '2 PASS'), (1.0, 0.2, '5', 'UNDECIDED', '2 UNDECIDED')])
def test_the_headline_is_the_outcome_of_the_gate(scale, scatter, limit, word, counts, page, side,
                                                 capsys):
    after = side('after', repeats(0.03 * scale, seed=9, scatter=scatter))
    text = page(repeats(0.03), after, '--fail-if-slower', limit)
    assert headline(text) == word
    assert '<p>Gate, at most %s %% slower: %s</p>' % (limit, counts) in text
    first = re.search('<p class="row">(.*?)</p>', text).group(1)
    assert re.match(word + r': alexnet lrn Forward tensors batch 32 float32: \d\.\d+ times ', first)
    printed = ' '.join(capsys.readouterr().out.split())
    assert 'Gate, at most %s %% slower: %s' % (limit, word) in printed
    assert word == 'PASS' or first in printed


def test_the_gate_names_its_rows_failures_first(page, side):
    before = dict(repeats(0.03), **repeats(0.1, 20, 'vgg16', 'D'), **repeats(0.2, 40, 'vgg16', 'E'))
    after = dict(repeats(0.03, 60), **repeats(0.1, 80, 'vgg16', 'D', scatter=0.2),
                 **repeats(0.3, 99, 'vgg16', 'E'))
    text = page(before, side('after', after), '--fail-if-slower', '5')
    rows = re.findall('<p class="row">(.*?) tensors', text)
    assert headline(text) == 'FAIL'
    assert rows == ['FAIL: vgg16 E Forward', 'FAIL: vgg16 E Forward-backward',
                    'UNDECIDED: vgg16 D Forward', 'UNDECIDED: vgg16 D Forward-backward',
                    'PASS: alexnet lrn Forward', 'PASS: alexnet lrn Forward-backward']
    assert '<summary>and 2 more</summary>' in text


def test_the_gate_does_not_pass_what_it_cannot_judge(page, tmp_path):
    text = page(repeats(0.03), str(tmp_path / 'typo'), '--fail-if-slower', '5')
    assert headline(text) == 'UNDECIDED'
    assert '<p class="row">UNDECIDED: typo: nothing of it can be judged</p>' in text


def test_the_headline_of_two_sides_is_their_ratio(page, side, capsys):
    text = page(repeats(0.03), side('other', repeats(0.02, seed=9)))
    times = re.fullmatch(r'other is (1\.\d+ times as fast \(1\.\d+ to 1\.\d+\))', headline(text))
    assert times.group(1) in capsys.readouterr().out
    assert '<span class="verdict good">faster</span>' in text
    assert re.search(r': mine [23]\d\.\d+, other [12]\d\.\d+ ms / batch\. All 2 rows: 2 '
                     'faster</p>', text)


def test_the_headline_of_one_side_with_nothing_beside_it_is_its_figure(page):
    text = page({'alexnet': record(batch_size=16)})
    assert headline(text) == '15.01 ms / batch, 1066 images / s'
    assert '<span class="verdict good">ok</span>' in text


def test_the_headline_of_published_figures(tmp_path):
    path = tmp_path / 'report.html'
    for name, line in (('server_gear', '709.4 images / s'),
                       ('chapter', "anosy is 1.09 times as fast as the chapter's GTX 1080")):
        assert compare.main([name, '--html', str(path)]) == 0
        text = path.read_text(encoding='utf-8')
        check(text, {})
        assert headline(text) == line
        assert '<span class="verdict">published</span>' in text and 'INVALID' not in text


def test_the_headline_where_all_is_invalid(page):
    data = record()
    for entry in data['results']:
        entry['faults'] = ['a loss is NaN']
    text = page({'alexnet': data})
    assert headline(text) == 'INVALID'
    assert '<p>0 of 2 figures of mine are valid</p>' in text
    assert headline(page({'alexnet': data}, 'chapter')) == 'INVALID'


def test_the_headline_where_nothing_is_the_same_work(page, side):
    text = page({'alexnet': record()}, side('other', {'alexnet': record(batch_size=16)}))
    assert headline(text) == 'There are no valid figures of the same work'
    assert '<p>mine has 2 valid figures, other has 2 valid figures</p>' in text


def test_the_headline_where_nothing_can_be_read(page, side, tmp_path):
    text = page({})
    assert headline(text) == 'mine has no figures'
    assert 'a folder without records' in text
    memory = dict(record(), status='out_of_memory', results=[], error='it is full')
    text = page({'alexnet': memory})
    assert headline(text) == 'mine has no figures'
    assert '<span class="verdict bad">out of memory</span>' in text


# The rest of the page

def test_the_forest_plot_has_a_row_for_each_work(page, side):
    slower = dict(repeats(0.06, 9), other=record('vgg16', 'D', seed=99))
    text = page(dict(repeats(0.03), other=record('vgg16', 'D')), side('slower', slower))
    plot = bars(text, 'slower against mine: network alexnet, variant lrn, fetch tensors')
    assert plot[:3] == ['1', '1.5', '2'] and 'times slower' in plot          # the axis
    assert plot[3] == 'Forward' and plot[5] == 'Forward-backward'
    assert re.fullmatch(r'2\.\d+ times slower \(1\.\d+ to 2\.\d+\)', plot[4])
    drawing = re.search('(?s)<figcaption>slower against mine: network alexnet.*?</svg>', text)
    assert 'fill-opacity: 0' not in drawing.group()
    drawing = re.search('(?s)<figcaption>slower against mine: network vgg16.*?</svg>', text)
    assert drawing.group().count('fill-opacity: 0') == 2         # two rows: hollow


def test_the_forest_plot_shows_the_outcome_of_the_gate(page, side):
    text = page(repeats(0.03), side('slower', repeats(0.06, 9)), '--fail-if-slower', '5')
    plot = bars(text, 'slower against mine')
    assert [one[:9] for one in plot if 'FAIL' in one] == ['FAIL, 2.0'] * 2
    assert 'Dashed: the limit of the gate' in text


@pytest.mark.parametrize('ends, labels', [
    ((0.5, 2.0), ['2', '1.5', '1', '1.5', '2']), ((0.99, 1.0), ['1.01', '1.005', '1']),
    ((0.02, 1.0), ['50', '10', '2', '1']), ((1.0, 300.0), ['1', '2', '10', '50', '200'])])
def test_the_axis_of_ratios_is_labelled_as_the_sentences_are(ends, labels):
    ticks = charts._ratio_ticks(*ends)
    assert [ticks[place] for place in sorted(ticks)] == labels


def test_labels_are_not_cut_where_they_differ(page):
    runs = {}
    for threads in (1, 2):
        runs['t%d' % threads] = record(seed=threads)
        runs['t%d' % threads]['environment']['variables']['TF_A_RATHER_LONG_NAME_OF_A_SETTING'] = (
            'a value that is rather long too %d' % threads)
    shown = ' '.join(bars(page(runs), 'Forward, fetch tensors, batch 32:'))
    for threads in (1, 2):
        assert ('lrn, mine, TF_A_RATHER_LONG_NAME_OF_A_SETTING a value that is rather long too %d'
                % threads) in shown


def test_numbers_are_right_aligned_in_one_unit(page):
    data = record()
    data['results'][1]['warnings'] = [{'kind': 'throttled', 'text': 'it drifted'}]
    text = page({'alexnet': data, 'other': record('resnet_v2', '50', seed=1)})
    passes = re.search('(?s)<section id="passes">.*?</section>', text).group()
    assert re.findall('<th scope="col" class="number">([^<]*)</th>', passes) == [
        'ms / batch', '95 % interval of the mean', 'images / s']
    assert len(re.findall(r'<td class="number">\d[\d.]*( to \d[\d.]*)?</td>', passes)) == 4 * 3
    assert '<td>50</td>' in text                         # a variant is no number, but a name
    comparison = re.search('(?s)<section id="comparison">.*?</section>', text).group()
    assert re.search(r'<td class="number">[89]\d\.\d+<span class="mark"> \*</span>', comparison)
    assert '.number { text-align: right }' in text


@pytest.mark.parametrize('count', [9, 10])
def test_ten_records_have_a_contents_list(count, page):
    text = page({'r%d' % i: record(batch_size=1 + i, seed=i) for i in range(count)})
    assert text.count('<nav') == (count >= 10)
    links = re.findall('<li><a href="#([a-z]+)">', text)
    assert links == (['passes', 'sweeps', 'comparison', 'runs'] if count >= 10 else [])


def test_two_folders_of_the_same_name_are_told_apart(side, tmp_path, capsys):
    sides = [side(name + '/gpu', repeats(0.03, seed)) for name, seed in (('new', 0), ('old', 9))]
    path = tmp_path / 'report.html'
    compare.main(sides + ['--html', str(path)])
    assert 'old against new, ms / batch' in capsys.readouterr().out
    text = path.read_text(encoding='utf-8')
    assert headline(text).startswith('old is ')
    assert 'old: alexnet-lrn-r1' in text and 'lrn, old' in bars(text, 'Forward, fetch tensors')


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
    for theme in themes:
        assert set(theme) == {'page', 'card', *charts.COLOURS}
        for name in charts.COLOURS:
            for ground in ('page', 'card'):
                dark, light = sorted(luminance(theme[one]) for one in (name, ground))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, theme[name], ground)
    used = set(re.findall(r'var\(--(\w+)\)', text))
    assert used <= set(themes[0])
    assert not re.findall('(?:fill|stroke|color|background): ?#', text)


def test_one_record_stands_beside_the_chapter(page):
    text = page({'alexnet': record()})
    assert '1 record: <span class="good">1 without a caution</span>' in text
    assert headline(text) == "mine is 1.2 times slower than the chapter's GTX 1080"
    assert re.search(r'<span class="verdict good">ok</span></p>\n<p>alexnet lrn Forward tensors '
                     r'batch 32 float32: 30.02 ms / batch, 1066 images / s', text)
    assert bars(text, 'Forward, fetch tensors, batch 32:')[-4:] == [
        'lrn, mine', '%.2f ms' % (1e3 * np.mean(record()['results'][0]['samples_s'])),
        'lrn, GeForce GTX 1080 (chapter, 2016)', '26 ms']
    assert 'Not the same work' in text
    assert 'Against the batch size' not in text
    assert 'Share of the peak' not in text               # it is not known


def test_other_work_has_no_reference_beside_it(page):
    text = page({'alexnet': record(batch_size=16)})
    assert bars(text, 'Forward, fetch tensors, batch 16:')[-2].startswith('lrn, mine')
    assert 'GeForce GTX 1080 (' not in text


def test_no_references(page, monkeypatch):
    monkeypatch.setattr(compare, 'references', tuple)
    text = page({'alexnet': record()})
    assert headline(text) == '30.02 ms / batch, 1066 images / s'
    assert 'id="ratios"' not in text
    assert 'GTX' not in text
    assert bars(text, 'Forward, fetch tensors')[-2] == 'lrn, mine'


def test_fifty_records(fifty):
    text = fifty.read_text(encoding='utf-8')
    check(text, many())
    assert len(text.encode('utf-8')) < 10 ** 6
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
    assert drawing.count('stroke-dasharray: 5') == 2     # ideal, of each pass
    assert text.count('<td class="number">84.0 %</td>') == 2     # the efficiency of 8, of each pass
    assert text.count('mine: scaling') == 1              # not once more in the comparison
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
    assert '<h3>mine <span' in text and '<h3>other <span' in text
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
    assert compare.main([record_path, '--html', str(tmp_path / 'no' / 'report.html')]) == 2
    assert re.search('argument --html: cannot write .*No such file or directory$',
                     capsys.readouterr().err.strip())
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


@pytest.mark.skipif(not BROWSER, reason='no chromium, chromium-browser or google-chrome here')
def test_a_browser_shows_every_record_and_has_an_empty_console(fifty, tmp_path):
    text = fifty.read_text(encoding='utf-8')
    shown, console = browse(fifty, tmp_path)
    assert console == []
    assert shown.count('<article') == 50 and '\ufffd' not in shown
    for name in many():
        assert html.escape(name, quote=False) in shown
    assert shown.count('</svg>') == text.count('</svg>') > 100

    bad = tmp_path / 'bad.html'                          # the console would say it
    bad.write_text(text.replace('<main>', '<main><img src="x.png">'), encoding='utf-8')
    assert 'Content Security Policy' in browse(bad, tmp_path)[1][0]


@pytest.mark.skipif(not BROWSER, reason='no chromium, chromium-browser or google-chrome here')
def test_nothing_is_wider_than_the_window(fifty, tmp_path):
    """Also with everything unfolded; tables scroll in their own boxes."""
    frames = """<iframe width="%d" height="800" srcdoc="%s"
        onload="title = contentDocument.documentElement.scrollWidth"></iframe>"""
    text = html.escape(fifty.read_text(encoding='utf-8').replace('<details>', '<details open>'))
    widths = [320, 390, 820, 1440]
    path = tmp_path / 'frames.html'
    path.write_text('<!DOCTYPE html><meta charset="utf-8">'
                    + ''.join(frames % (width, text) for width in widths), encoding='utf-8')
    shown, console = browse(path, tmp_path)
    assert console == []
    assert list(map(int, re.findall(r' title="(\d+)"', shown))) == widths


@pytest.mark.skipif(not BROWSER, reason='no chromium, chromium-browser or google-chrome here')
@pytest.mark.parametrize('flags', [(), ('--fail-if-slower', '5')])
def test_the_first_screen_of_a_phone_has_a_number_and_a_verdict(flags, page, side, tmp_path):
    """The place of the end of the first ratio, and of the first verdict, of 844 pixels."""
    text = page(repeats(0.03), side('other', repeats(0.02, seed=9)), *flags)
    verdict = 'h1' if flags else '.verdict'
    number = 'header p:nth-of-type(2)' if flags else 'h1'
    assert re.search(r'\d', headline(text)) or 'PASS: alexnet lrn Forward' in text
    path = tmp_path / 'frame.html'
    path.write_text("""<!DOCTYPE html><meta charset="utf-8"><iframe width="390" height="844"
        srcdoc="%s" onload="title = ['%s', '%s'].map(one => Math.ceil(contentDocument.querySelector(
        one).getBoundingClientRect().bottom)).join(' ')"></iframe>"""
                    % (html.escape(text), verdict, number), encoding='utf-8')
    bottoms = re.search(r' title="(\d+) (\d+)"', browse(path, tmp_path)[0]).groups()
    assert max(map(int, bottoms)) < 400
