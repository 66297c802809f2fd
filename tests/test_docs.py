"""docs/performance.md: no table that the records do not give."""
import json

import pytest

from suite import compare
from suite import docs as page


@pytest.fixture(scope='module')
def tables():
    return page.tables()


def test_the_page_is_up_to_date(tables):
    with open(page.PAGE, encoding='utf-8') as file:
        text = file.read()
    for name, table in tables.items():
        assert compare.replace_table(text, name, table) == text, name


def test_every_record_is_valid():
    for runtime in page.RUNTIMES:
        records = page.load(runtime + '/*-r?') + page.load(runtime + '/*-profile')
        assert len(records) > 10
        for record in records:
            assert record['status'] == 'finished' and record['environment']['runtime'] == runtime
            assert not any(result['faults'] for result in record['results'])
        peers, = page.load(runtime + '/peers')
        assert not any(result['faults'] for result in peers['results'])


def test_a_ratio_is_of_the_rounds(tmp_path, monkeypatch):
    """Rounds that are 10 times slower count no more than others."""
    (tmp_path / 'classic').mkdir()
    for i, (plain_s, faster_s) in enumerate([(2.0, 1.0), (20.0, 10.0), (2.0, 1.0)], 1):
        result = {'info_string': 'Forward', 'precision': 'float32', 'batch_size': 8}
        (tmp_path / 'classic' / ('alexnet-xla-r%d.json' % i)).write_text(json.dumps({'results': [
            dict(result, mean_s=plain_s),
            dict(result, mean_s=faster_s, xla=True,
                 difference={'relative_l2': i * 1e-4, 'allowed': 1e-3})]}))
    monkeypatch.setattr(page, 'RECORDS', str(tmp_path))
    monkeypatch.setattr(page.peers, 'PASSES', ['Forward'])
    assert page.options()[1:] == [['alexnet', '8', 'classic', 'float32, XLA', 'Forward', '2.00',
                                   '2.00 to 2.00', '3.0e-04', '1.0e-03']]
