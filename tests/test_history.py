"""suite history: every published figure and every valid GPU record is a point, and nothing else is;
the labels of the charts cover nothing."""
import csv
import json
import math
import os
import re

import drawings
import pytest

from common import networks, text
from suite import figures, history
from suite.report import by_year

ROOT = os.path.dirname(history.RESULTS)
with open(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
    RECORD = json.load(file)
ALL = list(networks.NETWORKS)


def record(mean_s=0.0025, kind='gpu', **changes):
    """A valid record of one pass, of 21 steps."""
    samples_s = [mean_s * (1 + 0.001 * (i % 3 - 1)) for i in range(21)]
    entry = dict(RECORD['results'][0], samples_s=samples_s, mean_s=math.fsum(samples_s) / 21,
                 faults=[], warnings=[], **changes)
    environment = dict(RECORD['environment'], date='2027-01-02T03:04:05+00:00', tensorflow='2.21.0',
                       device={'kind': kind, 'name': 'NVIDIA H100 80GB HBM3', 'sentence': 'x',
                               'gpu': None})
    return dict(RECORD, results=[entry], environment=environment)


@pytest.fixture
def write(tmp_path):
    """A function that writes a record to NAME below tmp_path and returns the path."""
    def write_file(name, data):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))
        return str(path)
    return write_file


# The points

def test_every_published_figure_with_a_rate_is_a_point():
    points, addresses = history.published()
    sources = {name: figures.load(name) for name in figures.reference_names()}
    without = [figure for source in sources.values() for figure in source.figures
               if not figure.images_per_s and not (figure.work.batch_size and figure.mean_s)]
    assert len(points) + len(without) == sum(
        len(source.figures) for source in sources.values())
    assert without == [] and set(addresses) == set(sources)
    assert all(point.work.precision in by_year.PRECISIONS and 10 < point.images_per_s < 20000
               and not point.is_own for point in points)


def test_the_chapter_and_a_gpu_with_remarks():
    points, _ = history.published()
    chapter, = [point for point in points if point.source == 'chapter'
                and point.work[:3] == ('resnet_v2', '152', 'Forward')]
    assert chapter[1:] == (2016, 'GTX 1080', 32 / 0.203, 'TensorFlow 1', (), 'chapter', False)
    k80 = [point for point in points if 'p2.8xlarge' in ' '.join(point.differs)]
    assert k80 and {point.gpu for point in k80} == {'Tesla K80'}
    assert all('one of its two GPUs' in point.differs for point in k80)
    assert not any('(' in point.gpu and 'X (' not in point.gpu and 'AMD' not in point.gpu
                   for point in points)


@pytest.mark.parametrize('variant, rate, place', [
    ('lrn', 100, 'less than the slowest published, the A (2015: 200 in X, batch ?)'),
    ('lrn', 250,
     'between the A (2015: 200 in X, batch ?) and the B (2018: 300 in X, batch 8, variant fc)'),
    ('fc', 300, 'more than the fastest published, the B (2018: 300 in X, batch 8)')])
def test_where_a_figure_stands_and_what_the_published_ran(variant, rate, place, monkeypatch):
    work = figures.Work('alexnet', 'lrn', 'Forward', None, None, 'float32')
    points = [history.Point(work, 2015, 'A', 200, 'X', (), 'x'), history.Point(
        work._replace(variant='fc', batch_size=8), 2018, 'B', 300, 'X', (), 'x')]
    monkeypatch.setattr(history, 'published', lambda: (points, {}))
    own = figures.Figure(work._replace(variant=variant, batch_size=30), 30 / rate, records=('1',))
    line, = history.standings(figures.Source('own', {}, [own], [], []))
    assert line == 'alexnet %s Forward batch 30 float32: %s images / s, %s' % (variant, rate, place)


def test_own_records_are_found_at_any_depth(write, tmp_path):
    write('a/b/c.json', record())
    write('a/cpu.json', record(kind='cpu'))
    write('a/ops.json', record(fetch='ops'))
    points, problems = history.measured([str(tmp_path / 'a')])
    assert problems == []
    own, = [point for point in points if not point.differs]
    assert own.work == figures.Work('alexnet', 'lrn', 'Forward', 'tensors', 32, 'float32')
    assert own[1:5] == (2027, 'H100 80GB HBM3', pytest.approx(12800), 'TensorFlow 2.21')
    assert own.source.endswith('a/b') and own.is_own
    other, = [point for point in points if point.differs]
    assert other.differs == ('gradients and outputs stay on the GPU (--fetch ops)',)


def test_a_record_that_is_not_valid_is_no_point(write):
    path = write('a.json', dict(record(), faults=['no convolution ran']))
    assert history.measured([path]) == ([], [path + ': no valid GPU record'])
    points, (problem,) = history.measured(['missing', write('b.json', record())])
    assert problem.startswith('missing: no such file') and len(points) == 1


def test_a_panel_has_one_size_and_one_pass():
    points, _ = history.published()
    sizes = {'resnet_v2': {'152', 'v1_152', 'v1.5_152', 'timm_152'}, 'vgg16': {'D'}}
    for panel in history.panels(points, ALL, 'Forward'):
        (benchmark,) = {point.work.benchmark for point in panel.points}
        years = [point.year for point in panel.points]
        assert years == sorted(years)
        variants = {point.work.variant for point in panel.points}
        assert variants <= sizes.get(benchmark, variants)
    small, = history.panels(points, ['vgg16'], 'Forward', 'A')
    assert {point.work.variant for point in small.points} == {'A'}
    assert history.panels(points, ['inception_v3'], 'Forward-backward') == []


# The text

def test_the_tables_explain_every_number_and_source(capsys):
    assert history.main(['--network', 'resnet_v2', '--variant', '50', '--pass', 'Training']) == 0
    out = capsys.readouterr().out
    years, tables, rest = re.split(
        "ResNet V2 50, training with optimizer\n|Differs from the chapter's workload in\n", out)
    assert years.startswith('What the years brought\n')
    notes, sources = re.sub('\n {4}', ' ', rest).split('\nSources\n')     # not wrapped
    explained = dict(line.split(None, 1) for line in notes.splitlines() if line)
    rows = [re.split(' {2,}', line.strip()) for line in tables.splitlines()[1:] if line]
    named = {number for row in rows for number in row[8].split()}
    assert named == set(explained)
    assert {row[7] for row in rows} == set(re.findall(r'^  (\w+): \S', sources, re.MULTILINE))
    b200 = [row for row in rows if row[1] == 'B200']
    assert [row[3] for row in b200] == ['tf32', 'mixed_float16']
    assert 'NCHW layout' in [explained[number] for number in b200[0][8].split()]


def test_own_records_stand_in_the_tables_and_a_missing_one_is_named(write, tmp_path, capsys):
    write('mine/a.json', record())
    assert history.main([str(tmp_path / 'mine'), 'nothing.json', '--network', 'alexnet']) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith('nothing.json: no such file')
    assert re.search(r'2027  H100 80GB HBM3 +12800  float32 +32  lrn +TensorFlow 2\.21  \S*mine\n',
                     captured.out)
    assert 'mine: measured with these scripts' in ' '.join(captured.out.split())     # it may wrap


@pytest.mark.parametrize('words, why', [
    (['--network', 'mobilenet'], "invalid choice: 'mobilenet'"),
    (['--pass', 'sideways'], "invalid choice: 'sideways'"),
    (['--variant', '50'], '--variant needs --network vgg16 or resnet_v2'),
    (['--network', 'vgg16', '--variant', '50'], "vgg16 has no '50': it has D, A"),
    (['--svg', 'history.png'], 'argument --svg: history.png: only SVG is written'),
    (['--network', 'inception_v3', '--pass', 'forward-backward'],
     'There is no figure of the pass forward-backward of inception_v3.')])
def test_bad_input_is_one_sentence(words, why, capsys):
    assert history.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == '' and why in captured.err.splitlines()[-1]


# The chart

@pytest.mark.parametrize('name, wide', [('history.svg', 10), ('networks.svg', 4 * 13)])
def test_the_pictures_of_the_documents(name, wide):
    """Their bytes are checked by test_docs."""
    with open(os.path.join(ROOT, 'docs', name), encoding='utf-8') as file:
        drawing = file.read()
    assert drawings.collisions(drawing) == []
    assert len([text for text in drawings.texts(drawing) if re.fullmatch('20[12][0-9]', text)]) == (
        wide)
    assert "the chapter's GTX 1080" in drawings.texts(drawing)
    for readme in 'README.md', 'README.zh-CN.md':
        with open(os.path.join(ROOT, readme), encoding='utf-8') as file:
            shown_px = int(re.search(r'<img src="docs/history.svg" width="(\d+)"',
                                     file.read()).group(1))
        assert drawings.letters_px(drawing, shown_px) >= 12


def test_the_picture_of_the_readme_names_the_best_gpu_of_each_year():
    points, _ = history.published()
    best = {}
    for point in points:
        if point.work[::2][:2] == ('resnet_v2', 'Training with optimizer') and (
                point.work.variant.endswith('50')):
            best[point.year] = max(best.get(point.year, 0), point.images_per_s)
    drawing = history.training_svg()
    assert drawing == history.training_svg()
    labels = [text.significant(rate, 3) for rate in best.values()]
    assert len(labels) == 10 and set(labels) <= set(drawings.texts(drawing))
    titles = drawings.titles(drawing)
    assert len(titles) > 80
    assert ('B200, 2025: 3076 images / s; mixed_float16, batch 3328, resnet_v2 v1.5_50, PyTorch '
            '2.8; lambda_pytorch') in titles


@pytest.mark.parametrize('pass_name', sorted(history.PASSES))
def test_labels_cover_nothing(pass_name, tmp_path, write):
    write('own/a.json', record())
    path = tmp_path / 'a.svg'
    assert history.main([str(tmp_path / 'own'), '--pass', pass_name, '--svg', str(path)]) == 0
    drawing = path.read_text(encoding='utf-8')
    assert drawings.collisions(drawing) == []
    for shown in 'measured with these scripts', 'H100 80GB HBM3':
        assert (shown in drawings.texts(drawing)) == (pass_name == 'forward')
    assert len(drawings.titles(drawing)) == sum(
        len(panel.points) for panel in history.panels(
            history.published()[0] + history.measured([str(tmp_path / 'own')])[0], ALL,
            history.PASSES[pass_name]))


def test_a_chart_is_written_or_one_sentence_says_why_not(tmp_path, capsys):
    path = str(tmp_path / 'history.svg')
    assert history.main(['--network', 'vgg16', '--svg', path]) == 0
    assert re.fullmatch(re.escape(path) + r': \d+ figures from \d+ sources\n',
                        capsys.readouterr().out)
    assert history.main(['--svg', str(tmp_path / 'none' / 'x.svg')]) == 2
    assert 'argument --svg: cannot write' in capsys.readouterr().err.splitlines()[-1]


def test_the_years_are_told_within_a_variant_and_a_precision():
    def point(gpu, year, rate, precision='float32', variant='D'):
        work = figures.Work('vgg16', variant, 'Forward', None, 32, precision)
        return history.Point(work, year, gpu, rate, 'X', (), 'x')
    chapters = point('GTX 1080', 2016, 210.5)
    points = [chapters, point('P100', 2016, 300.0), point('A100-SXM4 40 GB', 2020, 900.0, 'tf32'),
              point('V100', 2018, 1000.0), point('V100', 2018, 3000.0, variant='A'),
              point('A100 PCIe', 2022, 990.0, 'tf32'), point('B200', 2025, 9000.0, 'float16')]
    line, = history.decade(by_year.Panel('VGG', points, chapters))
    assert line == ('float32, D: from 210.5 images / s on the GTX 1080 (2016, X, batch 32) to 1000 '
                    'on the V100 (2018, X, batch 32), 4.8 times as many')
    line, = history.decade(by_year.Panel('VGG', points, None))
    assert line.startswith('float32, D: from 300.0 images / s on the P100 (2016')


def test_markdown_and_csv_have_every_figure(tmp_path, capsys):
    path = tmp_path / 'a.csv'
    words = ['--network', 'vgg16', '--variant', 'A']
    assert history.main([*words, '--markdown']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert '**VGGNet A, forward**' in lines
    assert history.main([*words, '--csv', str(path)]) == 0
    assert capsys.readouterr().out == '%s: 7 figures from 2 sources\n' % path
    with path.open(encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    points = history.panels(history.published()[0], ['vgg16'], 'Forward', 'A')[0].points
    assert [(row['gpu'], float(row['images_per_s']), row['source']) for row in rows] == [
        (point.gpu, point.images_per_s, point.source) for point in points]
    assert [line.split(' | ')[1] for line in lines if re.match(r'\| 20', line)] == [
        row['gpu'] for row in rows]
