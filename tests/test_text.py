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


@pytest.mark.parametrize('number, error, expected', [
    (3.2134, 0.021, '3.21 +/- 0.02'), (266.7, 8.8, '267 +/- 9'), (1039, 49.2, '1039 +/- 49'),
    (0.5, 0.0004, '0.5000 +/- 0.0004'), (3.2134, None, '3.213'), (3.2134, 0.0, '3.213')])
def test_a_number_and_its_error(number, error, expected):
    assert text.with_error(number, error) == expected


@pytest.mark.parametrize('function, number, expected', [
    (text.size, 18.7e6, '18.7 MB'), (text.size, 1.24e9, '1.2 GB'), (text.size, 999e6, '999 MB'),
    (text.thousands, 9969.2, '9 969'), (text.thousands, 33.61, '33.6'),
    (text.thousands, 1234567, '1 234 567')])
def test_units(function, number, expected):
    assert function(number) == expected
