"""suite/records.py: what it refuses, in which words, and what it makes of older records."""
import copy
import json
import os
import random
import re
import subprocess
import sys

import fake_job
import pytest

from common import record
from common.stop import Stop
from suite import records as reading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILES = {'record': os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json'),
         'reference': os.path.join(ROOT, 'references', 'chapter.json')}
STRAGGLER = {'kind': 'straggler', 'text': 'rank 3 on host1 (GPU X) is a straggler'}


def good(kind='record'):
    with open(FILES[kind]) as file:
        return json.load(file)


def changed(data, place, value='deleted'):
    """A copy with another value at a place such as 'results.0.mean_s', or without it."""
    data = copy.deepcopy(data)
    *path, last = [int(key) if key.isdigit() else key for key in place.split('.')]
    parent = data
    for key in path:
        parent = parent[key]
    if value == 'deleted':
        del parent[last]
    else:
        parent[last] = value
    return data


@pytest.fixture
def load(tmp_path):
    """A function that writes a value, or a text as it is, to a file and loads that."""
    def load_written(data):
        path = tmp_path / 'a.json'
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return reading.load(str(path))
    return load_written


JOB = fake_job.job(good(), 4)
DAMAGED = [
    (b'{"schema": 1, "bench', 'not JSON, or cut short ('), (b'\xff', 'not JSON, or cut short ('),
    (b'[' * 100000, 'not JSON, or cut short ('), (b'[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]',
                                                  'not JSON, or cut short (more than 20 levels)'),
    (b'{"a": 5e-321}', 'not JSON, or cut short (a number of 5e-321)'),
    (b'{"a": 1e300}', 'not JSON, or cut short (a number of 1e+300)'),
    (b'{"a": -1e999}', 'not JSON, or cut short (a number of -Infinity)'),
    (b'{"a": NaN}', 'not JSON, or cut short (a number of NaN)'),
    (b'[]', 'not a record of these benchmarks'), (b'{"schema": 1}', 'not a record of these bench'),
    (changed(good(), 'schema', 2), 'schema 2, and 1 is read here: run the benchmark again'),
    (changed(good(), 'results.0.mean_s', 'x'),
     'damaged: results[0].mean_s must be number or null: "x"'),
    (changed(good(), 'results.0.mean_s'), "damaged: results[0] must contain ['mean_s'] properties"),
    (changed(good(), 'results.0.batch_size', 0),
     'damaged: results[0].batch_size must be bigger than or equal to 1: 0'),
    (changed(good(), 'results.0.fetch', 'all'),
     'damaged: results[0].fetch must be one of [\'tensors\', \'ops\']: "all"'),
    (changed(good(), 'results.1.samples_s', [0.1, -1]), 'damaged: results[1].samples_s[1] must be'),
    (changed(JOB, 'results.1.scaling.without_allreduce.ci95_s', [1]),
     'damaged: results[1].scaling.alone.ci95_s must contain at least 2 items: [1]'),
    (changed(good(), 'results.1.mean_s', 2),
     'damaged: results[1] has a mean of 2 s, and 100 samples of a mean of '),
    (changed(good(), 'results.1.mean_s', None), 'damaged: results[1] has a mean of null s, and '),
    (changed(good(), 'results.1.samples_s', []), 'damaged: results[1] has a mean of '),
    (changed(JOB, 'results.1.scaling.alone.mean_s', 9),
     'damaged: results[1].scaling.alone has a mean of 9 s'),
    (changed(good('reference'), 'figures.0.benchmark', 'x'),
     'damaged: no network is called "x": the networks are alexnet, vgg16, '),
    (changed(good('reference'), 'hardware'),
     "damaged: figures[0] must contain ['hardware'] properties"),
    (changed(good('reference'), 'figures', []), 'damaged: figures must contain at least 1 items'),
    (changed(good('reference'), 'figures', 7), 'damaged: figures must be array: 7')]


@pytest.mark.parametrize('data, sentence', DAMAGED, ids=[case[1][:50] for case in DAMAGED])
def test_the_sentence_about_a_file(data, sentence, load):
    with pytest.raises((ValueError, Stop)) as caught:
        load(data)
    assert str(caught.value).startswith(sentence) and '\n' not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(str(tmp_path / 'pipe'))
    with pytest.raises(ValueError, match='^not a file$'):
        reading.load(str(tmp_path / 'pipe'))


def places(value, path=()):
    """The places of all that is in a value; of samples, which are alike, the first."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value[:5]):
            yield path + (str(key),)
            yield from places(item, path + (str(key),))


@pytest.mark.slow
@pytest.mark.parametrize('kind', sorted(FILES))
def test_any_damage_ends_in_one_sentence(kind, load):
    """A value that is replaced or missing is refused, or changes nothing that is relied on."""
    draw, refused = random.Random(0), 0
    for place in draw.sample(list(places(good(kind))), 60):
        for value in (None, 'x', -1, 1.5, True, [], {}, 'deleted'):
            try:
                load(changed(good(kind), '.'.join(place), value))
            except (ValueError, Stop) as error:
                assert '\n' not in str(error) and len(str(error)) < 400
                refused += 1
    assert refused > 200


def test_what_a_later_version_adds_is_kept(load):
    data = changed(changed(good(), 'later', {'x': 1}), 'results.0.later', 2)
    loaded = load(b'\xef\xbb\xbf' + json.dumps(data).encode())       # and a byte-order mark
    assert loaded['later'] == {'x': 1} and loaded['results'][0]['later'] == 2
    for entry, other in zip(loaded['results'], data['results']):
        assert dict(entry, warnings=[]) == dict(other, warnings=[])
    assert dict(loaded, results=[]) == dict(data, results=[])


def test_a_text_is_one_line(load):
    assert load(changed(good(), 'error', 'a\nb\x1b[31m\ud800'))['error'] == 'a b [31m '


@pytest.mark.parametrize('where', ['both', 'scaling', 'warnings'])
def test_stragglers_of_older_records_are_cautions(where, load):
    job = copy.deepcopy(JOB)
    for entry in job['results']:
        entry['warnings'] = [dict(STRAGGLER)] if where != 'scaling' else []
        if where != 'warnings':                          # today's records have no such key
            entry['scaling']['stragglers'] = [STRAGGLER['text']]
    for entry in load(job)['results']:
        assert entry['warnings'].count(STRAGGLER) == 1
        assert not entry['scaling'].get('stragglers')


def test_cautions_about_steps_are_those_of_todays_rules(load):
    samples_s = [mean_s + 0.0001 * (i % 7) for mean_s in (0.1, 0.12) for i in range(50)]
    data = good()
    data['results'][0].update(samples_s=samples_s, mean_s=sum(samples_s) / 100, warnings=[
        {'kind': 'few_steps', 'text': '5 timed steps'}, {'kind': 'spread', 'text': 'it is wide'},
        {'kind': 'throttled', 'text': 'the clock went down'}])
    assert [caution['kind'] for caution in load(data)['results'][0]['warnings']] == [
        'throttled', 'drift']


def test_the_schema_has_the_number_that_records_are_written_with():
    assert reading.schema('record')['properties']['schema']['const'] == record.SCHEMA


@pytest.mark.parametrize('verb, library', [
    ('run', 'fastjsonschema'), ('compare', 'fastjsonschema'), ('compare', 'jinja2'),
    ('history', 'jinja2')])
def test_without_a_library_a_line_says_what_to_install(verb, library, tmp_path):
    (tmp_path / (library + '.py')).write_text('raise ImportError("No module named x")')
    done = subprocess.run([sys.executable, '-m', 'suite', verb, '--help'], cwd=ROOT, text=True,
                          env=dict(os.environ, PYTHONPATH=str(tmp_path)), capture_output=True)
    assert (done.returncode, done.stdout) == (3, '')
    assert re.fullmatch(r'python -m suite %s cannot start \(No module named x\)\. To install what '
                        r'it needs: python[\d.]* -m pip install -r requirements/suite\.txt\n'
                        % verb, done.stderr)
