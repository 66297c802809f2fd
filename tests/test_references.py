"""references/: every figure says where it comes from, none is lost or there twice, and the
chapter's figures are the ones it prints."""
import json
import math
import os
import re

import pytest

from common import networks
from suite import compare, figures, records

# The chapter: benchmark, variant, Forward, Forward-backward, seconds; '~' is 'about', None is not
# measured.
CHAPTER = [
    ('alexnet',      'lrn',    '0.026',  '0.078'),
    ('alexnet',      'no_lrn', '~0.007', '~0.025'),
    ('vgg16',        'D',      '0.152',  '0.617'),
    ('inception_v3', 'aux',    '0.145',  None),
    ('resnet_v2',    '152',    '0.203',  None),
]
KEYS = {'benchmark', 'variant', 'info_string', 'fetch', 'batch_size', 'precision', 'about',
        'differs'}
UNITS = {'mean_s', 'sd_s'}, {'images_per_s'}
# What was read in the sources and adopted in November 2026: 453 figures, in 76 files of one GPU
# each, whose times and rates had these sums. 24 figures stood here before, besides the chapter's;
# the files below have all of them. A figure that is corrected moves the sums.
ADOPTED = 453, 26.0561332, 396053.52
EARLIER = 24, 1.97145, 1156.5
FILES = ['anosy', 'caffe', 'jcjohnson', 'lambda_blog', 'lambda_pytorch', 'lambda_tensorflow',
         'matrixsp', 'mxnet', 'nvidia', 'rejunity', 'server_gear', 'soumith', 'tensorflow_guide',
         'timm', 'u39kun']


def read(name):
    with open(os.path.join(figures.REFERENCES, name + '.json')) as file:
        return json.load(file)


def test_the_chapter():
    expected = [(benchmark, variant, info_string, float(text.lstrip('~')), text[0] == '~')
                for benchmark, variant, *texts in CHAPTER
                for info_string, text in zip(['Forward', 'Forward-backward'], texts) if text]
    data = read('chapter')
    assert [(one['benchmark'], one['variant'], one['info_string'], one['mean_s'], one['about'])
            for one in data['figures']] == expected
    assert (data['year'], data['hardware']) == (2016, 'GeForce GTX 1080')
    for one in data['figures']:
        assert (one['fetch'], one['batch_size'], one['precision'], one['differs']) == (
            'tensors', 32, 'float32', [])


@pytest.mark.parametrize('name', figures.reference_names())
def test_a_reference_says_what_it_is(name):
    """Each figure on one line."""
    data = read(name)
    source = figures.load(name)
    assert source.problems == [] and len(source.figures) == len(data['figures'])
    with open(os.path.join(figures.REFERENCES, name + '.json'), encoding='utf-8') as file:
        lines = [line for line in file if line.startswith('  {')]
    assert [json.loads(line.rstrip(',\n')) for line in lines] == data['figures']
    for one in data['figures']:
        facts = {key: one.get(key, data.get(key)) for key in figures.PUBLISHED}
        assert facts['hardware'] and facts['software'] and 2012 <= facts['year'] <= 2100
        assert re.search(r'https://\S+\.\S+/|Chapter 6 .* sections 6\.1 to 6\.4', facts['source'])
        assert set(one) - set(figures.PUBLISHED) - KEYS in UNITS and set(one) >= KEYS, one
        variants = networks.NETWORKS[one['benchmark']].variants
        if one['variant'] not in variants or one['info_string'] not in networks.PASSES \
                or one['batch_size'] != 32 or one['fetch'] != 'tensors':
            assert one['differs'], one                   # and it says why
        assert one['precision'] in ('float32', 'tf32', 'mixed_float16', 'float16')
        # Seconds and images / s: a unit taken for another is wrong by a factor of 10 to 1000.
        assert isinstance(one.get('mean_s', 0.0), float) and 0 < one.get('mean_s', 1) < 4
        assert 10 < (one.get('images_per_s')
                     or (one['batch_size'] or math.nan) / one['mean_s']) < 20000, one


def test_no_figure_is_there_twice():
    """A figure by GPU, work, time or rate, and software, which tells TensorFlow from PyTorch."""
    seen = [(figure.published['hardware'], figure.published['software'], *figure[:2],
             figure.images_per_s)
            for name in figures.reference_names() for figure in figures.load(name).figures]
    assert len(set(seen)) == len(seen)


def test_nothing_is_lost():
    entries = [one for name in FILES for one in read(name)['figures']]
    sums = [math.fsum(one.get(key, 0) for one in entries) for key in ('mean_s', 'images_per_s')]
    assert len(entries) == ADOPTED[0] + EARLIER[0]
    assert sums == pytest.approx([ADOPTED[1] + EARLIER[1], ADOPTED[2] + EARLIER[2]], rel=1e-12)


def test_published_rates_keep_their_unit():
    assert all(figure.mean_s is None and figure.images_per_s
               for name in ('tensorflow_guide', 'lambda_tensorflow')
               for figure in figures.load(name).figures)
    rates = {(figure.published['hardware'], *figure.work[:2], figure.work.batch_size):
             figure.images_per_s for figure in figures.load('tensorflow_guide').figures}
    assert rates['Tesla P100 (one of a DGX-1)', 'resnet_v2', 'v1_152', 64] == 91.8


def test_tf32_is_not_called_float32():
    """Ampere and later compute float32 convolutions at TF32 unless told otherwise."""
    later = re.compile(r'A100|A6000|RTX (30|40|50)|A10\b|H[12]00|GH200|B200|Ada|PRO 6000')
    precisions = {figure.work.precision for name in FILES for figure in figures.load(name).figures
                  if later.search(figure.published['hardware'])}
    assert precisions == {'tf32', 'float16', 'mixed_float16'}


def test_a_reference_of_several_gpus_names_the_gpu_of_each_figure(capsys):
    source = figures.load('lambda_tensorflow')
    assert source.facts['hardware'] == '9 GPUs' and source.facts['year'] == '2020 to 2021'
    assert compare.main(['lambda_tensorflow']) == 0
    heading, *rows = [line for line in capsys.readouterr().out.splitlines()
                      if 'GPU' in line or 'A100 40 GB PCIe' in line]
    assert len(rows) >= 10


FIGURE = {'benchmark': 'vgg16', 'variant': 'D', 'info_string': 'Forward', 'fetch': None,
          'batch_size': 16, 'precision': 'float32', 'images_per_s': 7.0, 'about': False,
          'differs': ['other work']}


def test_hardware_and_year_stand_in_the_file_or_in_each_figure(tmp_path):
    path = tmp_path / 'r.json'
    whole = {'software': 'X 1', 'hardware': 'G', 'year': 2020}
    for form in ({**whole, 'figures': [FIGURE]}, {'figures': [{**FIGURE, **whole}]}):
        path.write_text(json.dumps({'source': 'https://a.b/', **form}))
        figure, = records.load(str(path))['figures']
        assert figure == {**FIGURE, **whole, 'source': 'https://a.b/'}


def test_a_local_folder_of_the_same_name_replaces_no_reference(tmp_path, monkeypatch):
    (tmp_path / 'chapter').mkdir()
    monkeypatch.chdir(tmp_path)
    sources = figures.references.__wrapped__()
    assert [source.name for source in sources] == figures.reference_names()
    assert all(source.figures and not source.problems for source in sources)
