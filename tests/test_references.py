"""references/: every file has its source, and the chapter's figures are the ones it prints."""
import json
import os

import pytest

from common import networks
from suite import compare

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


def read(name):
    with open(os.path.join(compare.REFERENCES, name + '.json')) as file:
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


@pytest.mark.parametrize('name', compare.reference_names())
def test_a_reference_says_what_it_is(name):
    data = read(name)
    assert isinstance(data['year'], int)
    assert all(data[key] for key in ('source', 'hardware', 'software', 'figures'))
    for one in data['figures']:
        extra = set(one) - KEYS
        assert set(one) >= KEYS and extra in ({'mean_s', 'sd_s'}, {'images_per_s'})
        variants = networks.NETWORKS[one['benchmark']].variants
        if one['variant'] not in variants or one['info_string'] not in networks.PASSES \
                or one['batch_size'] != 32 or one['fetch'] != 'tensors':
            assert one['differs'], one                   # and it says why
    side = compare.load(name)
    assert side.problems == [] and len(side.figures) == len(data['figures'])


def test_published_rates_keep_their_unit():
    for name in ('tensorflow_guide', 'lambda_v100', 'lambda_a100'):
        assert all(figure.mean_s is None and figure.images_per_s
                   for figure in compare.load(name).figures)
    rates = {figure.work[:2] + (figure.work.batch_size,): figure.images_per_s
             for figure in compare.load('tensorflow_guide').figures}
    assert rates['resnet_v2', 'v1_152', 64] == 91.8
