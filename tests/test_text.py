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


@pytest.mark.parametrize('ratio, bounds, expected', [
    (1.17, (0.96, 1.41), '+17 % (-4 to +41 %)'),
    (1.172, (1.149, 1.195), '+17.2 % (+14.9 to +19.5 %)'),
    (0.5, (0.49, 0.51), '-50.0 % (-51.0 to -49.0 %)'), (0.999, (0.9, 1.1), '+0 % (-10 to +10 %)'),
    (1.0004, (0.9996, 1.0012), '+0.04 % (-0.04 to +0.12 %)'), (1.173, (), '+17 %'),
    (30.1, (28.2, 32.1), '+2910 % (+2720 to +3110 %)'), (1, (), '+0.0 %'), (0.95, (), '-5.0 %')])
def test_the_change_of_a_time(ratio, bounds, expected):
    assert text.change(ratio, bounds) == expected


def test_a_wide_table_wraps_its_first_column():
    rows = [['', 'ms'], ['the name of a row of this table', '3.1'], ['short', '12.0']]
    assert text.table(rows, width=26) == [
        '                        ms', 'the name of a row of', 'this table             3.1',
        'short                 12.0']


def test_a_table_aligns_numbers_at_the_right():
    assert text.table([['layer', 'ms', 'verdict'], ['conv1', '3.1', 'ok'],
                       ['fc', '12.0', 'INVALID']], left=['verdict']) == [
        'layer    ms  verdict',
        'conv1   3.1  ok',
        'fc     12.0  INVALID']


def test_a_marked_line_is_one_item_of_a_markdown_list():
    block = text.TextBlock('Notes', [], ['* a < b', 'c'])
    assert text.as_markdown([block]) == '**Notes**\n\n* \\* a &lt; b\n* c\n'


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
