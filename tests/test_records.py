"""reading.py: refuses what the JSON Schemas refuse, and what they cannot say."""
import copy
import json
import os
import random

import jsonschema
import pytest

from common import record
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


@pytest.mark.parametrize('kind', sorted(FILES))
def test_damage_is_seen_as_jsonschema_sees_it(kind):
    with open(FILES[kind]) as file:
        good = json.load(file)
    schema = reading._schema(kind)
    schema['required'] = [key for key in schema['required'] if key != 'schema']
    validator = jsonschema.Draft7Validator(schema)
    draw, refused = random.Random(0), 0
    good.pop('schema', None)                             # load says more about it
    for path in draw.sample(list(places(good)), 60) + [(key,) for key in good]:
        for value in (None, 'x', -1, 1.5, True, [], {}, 'deleted'):
            bad = copy.deepcopy(good)
            at = bad
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            if value == 'deleted':
                del at[path[-1]]
            fault = reading._fault(bad, schema)
            assert (fault is None) == validator.is_valid(bad), (path, value, fault)
            refused += fault is not None
    assert refused > 200


def test_keys_of_a_later_version_are_let_be(tmp_path):
    with open(FILES['record']) as file:
        data = dict(json.load(file), later={'x': 1})
    data['results'][0]['later'] = 2
    (tmp_path / 'a.json').write_text(json.dumps(data))
    assert reading.load(str(tmp_path / 'a.json')) == data


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


def test_the_schema_is_the_one_that_is_written():
    assert reading.SCHEMA == record.SCHEMA
