"""results/: every JSON file, at any depth, is a valid record of a run or a file of a known kind."""
import fnmatch
import json
import os

import pytest

from common import files
from suite import records
from suite.peers import tables
from suite.records import validator

RESULTS = os.path.join(records.ROOT, 'results')
PATHS = sorted(os.path.relpath(os.path.join(folder, name), RESULTS)
               for folder, _, names in os.walk(RESULTS) for name in names
               if name.endswith('.json'))


def kind(path):
    """By its name: the files that other programs than the four scripts write, and the rest."""
    name = os.path.basename(path)
    for pattern in 'harness_cost.json', 'peers*.json':
        if fnmatch.fnmatch(name, pattern):
            return pattern
    return 'record'


def of_kind(name):
    found = [path for path in PATHS if kind(path) == name]
    return pytest.mark.parametrize('path', found)


def read(path):
    with open(os.path.join(RESULTS, path), encoding='utf-8') as file:
        return json.load(file)


@of_kind('record')
def test_a_record_is_valid_and_finished(path):
    record = records.load(os.path.join(RESULTS, path))   # raises ValueError
    validator('record', strict=True)(read(path))
    if 'sweep' in path.split(os.sep) and record['status'] == 'out_of_memory':
        return                                           # its end, as it should be
    assert record['status'] == 'finished' and record['faults'] == []
    assert record['results'] and not any(one['faults'] for one in record['results'])
    for runtime in {'classic', 'modern'} & set(path.split(os.sep)):
        assert record['environment']['runtime'] == runtime


@of_kind('harness_cost.json')
def test_the_cost_of_the_harness(path):
    cost = read(path)
    assert 0 < cost['harness_s_per_step'] < 20e-6
    assert cost['harness_share_of_alexnet'] == pytest.approx(
        cost['harness_s_per_step'] / cost['alexnet_forward_s'])
    assert 0 < cost['harness_share_of_alexnet'] < 0.01


@of_kind('peers*.json')
def test_the_times_beside_the_peers(path):
    record = read(path)
    assert record['kind'] == 'peers' and record['results']
    for one in record['results']:
        assert one['faults'] == []
        assert len(one['ours_s']) == len(one['peer_s']) == 20
        assert min(one['ours_s'] + one['peer_s']) > 0
        assert [one['ratio']] + one['ci95'] == pytest.approx(
            tables.ratio(one['ours_s'], one['peer_s']))


@pytest.mark.parametrize('path', PATHS)
def test_lists_of_numbers_stand_on_one_line(path):
    with open(os.path.join(RESULTS, path), encoding='utf-8') as file:
        text = file.read()
    assert text == files.json_text(json.loads(text)) + '\n'
