"""Numbers and tables as text."""
import pytest

from common import text


@pytest.mark.parametrize('number, expected', [
    (0.0041234, '0.00412'), (41.25, '41.2'), (4123.4, '4123'), (999.6, '1000'), (0, '0'),
    (-0.5, '-0.500'), (float('inf'), 'inf')])
def test_three_significant_digits(number, expected):
    assert text.significant(number) == expected


def test_four_significant_digits():
    assert text.significant(0.0260049, 4) == '0.02600'


def test_a_table_aligns_numbers_at_the_right():
    assert text.table([['layer', 'ms', 'verdict'], ['conv1', '3.1', 'ok'],
                       ['fc', '12.0', 'INVALID']], left=['verdict']) == [
        'layer    ms  verdict',
        'conv1   3.1  ok',
        'fc     12.0  INVALID']


def test_markdown_escapes_the_bar():
    assert text.markdown([['a', 'b'], ['1|2', '3']]) == ['| a | b |', '| --- | --- |',
                                                         '| 1\\|2 | 3 |']
