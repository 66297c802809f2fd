"""suite/records.py: refuses records that break the JSON Schemas or its further rules."""
import copy
import json
import os
import random
import re
import subprocess
import sys

import fake_job
import jsonschema
import pytest

from common import networks, record
from suite import records as reading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILES = {'record': os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json'),
         'reference': os.path.join(ROOT, 'references', 'chapter.json')}


def places(value, path=()):
    """The paths of all that is in a value; of samples, which are alike, the first."""
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value[:5]):
            yield path + (key,)
            yield from places(one, path + (key,))


def damaged(good):
    """Copies of a record with a value replaced or deleted, each with the path of that value."""
    draw = random.Random(0)
    for path in draw.sample(list(places(good)), 60) + [(key,) for key in good]:
        for value in (None, 'x', -1, 1.5, True, [], {}, 'deleted'):
            bad = copy.deepcopy(good)
            at = bad
            for key in path[:-1]:
                at = at[key]
            if value == 'deleted':
                del at[path[-1]]
            else:
                at[path[-1]] = value
            yield path, bad


def named(path):
    """results[0].mean_s"""
    return ''.join('[%d]' % key if isinstance(key, int) else '.' + key for key in path).lstrip('.')


@pytest.mark.parametrize('number', ['5e-321', '1e300', '1e999', '-1e200'])
def test_numbers_that_no_run_has(number, tmp_path):
    path = tmp_path / 'x.json'
    path.write_text('{"schema": 1, "benchmark": "x", "results": [%s]}' % number)
    with pytest.raises(ValueError, match='a number of'):
        reading.load(str(path))


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(str(tmp_path / 'pipe'))
    with pytest.raises(ValueError, match='^not a file$'):
        reading.load(str(tmp_path / 'pipe'))


@pytest.mark.slow
@pytest.mark.parametrize('kind', sorted(FILES))
def test_damage_is_one_sentence_that_names_the_place(kind):
    """What the schema as it stands refuses is refused, and the sentence names the value or what
    contains it."""
    with open(FILES[kind]) as file:
        good = json.load(file)
    with open(reading.SCHEMAS[kind]) as file:
        strict = jsonschema.Draft7Validator(json.load(file))
    refused = 0
    for path, bad in damaged(good):
        fault = reading._fault(kind, bad)
        assert (fault is None) == strict.is_valid(bad), (path, fault)
        if fault:
            assert '\n' not in fault and len(fault) < 400
            assert fault.startswith((named(path), named(path[:-1]) or 'it lacks')), (path, fault)
            refused += 1
    assert refused > 200


@pytest.mark.parametrize('change, sentence', [
    ({'mean_s': 'x'}, 'results[0].mean_s is "x", not number or null'),
    ({'batch_size': 0}, 'results[0].batch_size is 0, below 1'),
    ({'fetch': 'all'}, 'results[0].fetch is "all", none of ["tensors", "ops"]'),
    ({'samples_s': [0.1, -1]}, 'results[0].samples_s[1] is -1, below 0'),
    ({'statistics': {'n': 1}}, 'results[0].statistics lacks ci95_s, max_s, mean_s, '),
    ({'warnings': [{'kind': 'drift', 'text': 1}]},
     'results[0].warnings[0].text is 1, not string')])
def test_the_sentence_about_a_damaged_file(change, sentence, tmp_path):
    with open(FILES['record']) as file:
        data = json.load(file)
    data['results'][0].update(change)
    (tmp_path / 'a.json').write_text(json.dumps(data))
    with pytest.raises(ValueError) as caught:
        reading.load(str(tmp_path / 'a.json'))
    assert str(caught.value).startswith('damaged: ' + sentence)


def test_the_sentence_about_a_damaged_alternative():
    """anyOf: what is wrong with the alternative that is not null."""
    with open(FILES['record']) as file:
        job = fake_job.job(json.load(file), 4)
    job['results'][1]['scaling']['without_allreduce']['ci95_s'] = [1]
    assert reading._fault('record', job) == (
        'results[1].scaling.without_allreduce.ci95_s has 1 values')


def without_cautions(record):
    """The record without the cautions of its passes, which loading may change."""
    return dict(record, results=[dict(entry, warnings=[]) for entry in record['results']])


def test_keys_of_a_later_version_are_let_be(tmp_path):
    with open(FILES['record']) as file:
        data = dict(json.load(file), later={'x': 1})
    data['results'][0]['later'] = 2
    (tmp_path / 'a.json').write_text(json.dumps(data))
    loaded = reading.load(str(tmp_path / 'a.json'))
    assert loaded['later'] == {'x': 1} and loaded['results'][0]['later'] == 2
    assert without_cautions(loaded) == without_cautions(data)


@pytest.mark.parametrize('change, why', [
    ({'mean_s': 2}, r'results[1] has a mean of 2 s, and 100 samples of a mean of'),
    ({'samples_s': [0.0] * 3, 'mean_s': 0.0}, 'a mean of 0.0 s, and 3 samples'),
    ({'samples_s': []}, 'and 0 samples'), ({'mean_s': None}, 'a mean of null s'),
    ({'samples_s': [1e200]}, 'a number of 1e+200'), ({'mean_s': float('nan')}, 'a number of NaN')])
def test_what_contradicts_itself_or_overflows(change, why, tmp_path):
    with open(FILES['record']) as file:
        data = json.load(file)
    data['results'][1].update(change)
    (tmp_path / 'a.json').write_text(json.dumps(data))
    with pytest.raises(ValueError) as caught:
        reading.load(str(tmp_path / 'a.json'))
    assert why in str(caught.value)


def test_a_text_is_one_line(tmp_path):
    with open(FILES['record']) as file:
        data = json.load(file)
    data['error'] = 'a\nb\x1b[31m\ud800'
    (tmp_path / 'a.json').write_text(json.dumps(data))
    assert reading.load(str(tmp_path / 'a.json'))['error'] == 'a b [31m '


def test_a_byte_order_mark_is_read_over(tmp_path):
    with open(FILES['record']) as file:
        text = file.read()
    (tmp_path / 'a.json').write_bytes(b'\xef\xbb\xbf' + text.encode())
    assert without_cautions(reading.load(str(tmp_path / 'a.json'))) \
        == without_cautions(json.loads(text))


def test_stragglers_of_older_records_are_cautions(tmp_path):
    with open(FILES['record']) as file:
        job = fake_job.job(json.load(file), 4)
    sentence, = job['results'][0]['scaling']['stragglers']
    caution = {'kind': 'straggler', 'text': sentence}
    job['results'][0]['warnings'] = [dict(caution)]      # a record that says it in both places
    (tmp_path / 'a.json').write_text(json.dumps(job))
    for entry in reading.load(str(tmp_path / 'a.json'))['results']:
        assert entry['warnings'].count(caution) == 1
        assert entry['scaling']['stragglers'] == []


def test_cautions_about_steps_are_those_of_todays_rules(tmp_path):
    with open(FILES['record']) as file:
        data = json.load(file)
    samples_s = [0.1 + 0.0001 * (i % 7) for i in range(50)] + [0.12 + 0.0001 * (i % 7)
                                                               for i in range(50)]
    entry = data['results'][0]
    entry.update(samples_s=samples_s, mean_s=sum(samples_s) / 100, warnings=[
        {'kind': 'few_steps', 'text': '5 timed steps'}, {'kind': 'spread', 'text': 'it is wide'},
        {'kind': 'throttled', 'text': 'the clock went down'}])
    (tmp_path / 'a.json').write_text(json.dumps(data))
    loaded = reading.load(str(tmp_path / 'a.json'))['results'][0]
    assert [caution['kind'] for caution in loaded['warnings']] == ['throttled', 'drift']


def test_a_record_without_stragglers_is_read(tmp_path):
    with open(FILES['record']) as file:
        job = fake_job.job(json.load(file), 4)
    for entry in job['results']:
        del entry['scaling']['stragglers']
    (tmp_path / 'a.json').write_text(json.dumps(job))
    loaded = reading.load(str(tmp_path / 'a.json'))['results']
    assert len(loaded) == len(job['results']) == 2
    assert all({'kind': 'straggler', 'text': 'rank 3 on host1 (GPU X) is a straggler'}
               in entry['warnings'] for entry in loaded)


def test_a_validator_is_built_once():
    assert reading._validator('record') is reading._validator('record')


def test_another_version_is_said_to_be_one(tmp_path):
    with open(FILES['record']) as file:
        data = dict(json.load(file), schema=record.SCHEMA + 1)
    (tmp_path / 'a.json').write_text(json.dumps(data))
    with pytest.raises(reading.OtherVersion):
        reading.load(str(tmp_path / 'a.json'))


@pytest.mark.parametrize('kind', sorted(FILES))
def test_the_schemas_are_sound_and_know_the_networks(kind):
    with open(reading.SCHEMAS[kind]) as file:
        schema = json.load(file)
    jsonschema.Draft7Validator.check_schema(schema)
    place = schema if kind == 'record' else schema['properties']['figures']['items']
    assert place['properties']['benchmark']['enum'] == list(networks.NETWORKS)
    if kind == 'record':
        assert place['properties']['schema']['const'] == record.SCHEMA


@pytest.mark.parametrize('verb', ['compare', 'run'])
def test_without_jsonschema_a_line_says_what_to_install(verb, tmp_path):
    (tmp_path / 'jsonschema.py').write_text('raise ImportError("No module named jsonschema")')
    done = subprocess.run([sys.executable, '-m', 'suite', verb, '--help'], cwd=ROOT, text=True,
                          env=dict(os.environ, PYTHONPATH=str(tmp_path)), capture_output=True)
    assert (done.returncode, done.stdout) == (3, '')
    assert re.fullmatch(r'python -m suite %s cannot start \(No module named jsonschema\)\. To '
                        r'install what it needs: python[\d.]* -m pip install -r '
                        r'requirements/suite\.txt\n' % verb, done.stderr)
