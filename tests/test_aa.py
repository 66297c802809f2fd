"""The A/A experiment: what is counted, by hand and by simulation; no run is started."""
import json
import os

import numpy as np

from suite import records
from tools import aa

RECORD = os.path.join(records.ROOT, 'results', 'cpu-2-cores', 'alexnet.json')


def test_what_is_counted():
    means_s = [1.0, 1.001, 1.002, 2.0, 2.001, 2.002]
    counted = aa.rates(means_s, [(0.99 * mean_s, 1.01 * mean_s) for mean_s in means_s])
    assert counted == {'comparisons': 10, 'verdicts': 1,         # of all ways, only 3 against 3
                       'comparisons_of_one_process': 15, 'verdicts_of_one_process': 9}


def test_identical_runs_get_a_verdict_in_at_most_5_percent():
    random, verdicts, comparisons = np.random.RandomState(0), 0, 0
    for _ in range(200):
        means_s = 1 + 0.03 * random.standard_normal(6)
        counted = aa.rates(means_s.tolist(), [(mean_s, mean_s) for mean_s in means_s])
        verdicts, comparisons = verdicts + counted['verdicts'], comparisons + counted['comparisons']
    assert 0 < verdicts <= 0.05 * comparisons


def write(folder, batch_sizes):
    with open(RECORD) as file:
        record = json.load(file)
    for i, batch_size in enumerate(batch_sizes, 1):
        for entry in record['results']:
            entry['batch_size'] = batch_size
            entry['samples_s'] = [1.001 * sample_s for sample_s in entry['samples_s']]
            entry['mean_s'] *= 1.001
        (folder / ('%02d.json' % i)).write_text(json.dumps(record))


def test_records_that_exist_are_compared_and_not_measured_again(tmp_path, capsys):
    write(tmp_path, [32] * 6)
    path = str(tmp_path / 'aa' / 'x.json')
    os.mkdir(os.path.dirname(path))
    assert aa.main([str(tmp_path), '--processes', '6', '--json', path]) == 0
    assert 'Forward-backward: 0 of 10 comparisons of three processes' in capsys.readouterr().out
    with open(path) as file:
        assert [len(one['means_s']) for one in json.load(file)['passes']] == [6, 6]


def test_records_of_other_work_are_refused(tmp_path, capsys):
    write(tmp_path, [32] * 5 + [16])
    assert aa.main([str(tmp_path), '--processes', '6']) == 2
    assert 'differ in their work or conditions' in capsys.readouterr().err
