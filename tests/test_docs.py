"""python -m suite docs: every generated part is what the records give, and the check finds one that
is not."""
import json
import os
import re
import subprocess
import sys

import pytest

from suite import docs

PAGE = 'a\n<!-- table: x -->\n\nold\n\n<!-- end -->\nb\n'


def test_every_part_is_up_to_date():
    """If not: python -m suite docs."""
    assert docs.update()[1] == []


def test_no_tensorflow_is_imported():
    code = ('from suite import docs; import sys; '
            'sys.exit(any(name.startswith(("tensorflow", "tf_slim")) '
            'or name == "common.tf1" for name in sys.modules))')
    assert subprocess.run([sys.executable, '-c', code], cwd=docs.ROOT).returncode == 0


def test_every_marker_has_its_function_whatever_page_it_is_on():
    pages = ['README.md', 'README.zh-CN.md'] + [
        'docs/' + name for name in sorted(os.listdir(os.path.join(docs.ROOT, 'docs')))
        if name.endswith('.md')]
    found = []
    for page in pages:
        with open(os.path.join(docs.ROOT, page), encoding='utf-8') as file:
            found += [(page, marker) for marker in docs.markers(file.read())]
    assert sorted(found) == sorted(docs.PARTS)


def test_a_part_is_replaced_and_what_is_around_it_stays():
    new = docs.replace(PAGE, 'table: x', '| a |\n')
    assert new == 'a\n<!-- table: x -->\n\n| a |\n\n<!-- end -->\nb\n'
    assert docs.replace(new, 'table: x', '| a |') == new


@pytest.mark.parametrize('page', [
    'no markers', '<!-- table: x -->\nold', 'old\n<!-- end -->',
    '<!-- table: x -->\nold\n<!-- table: y -->\nold\n<!-- end -->\n'])
def test_a_marker_that_is_missing(page):
    with pytest.raises(ValueError, match='no lines <!-- table: x --> and <!-- end -->'):
        docs.replace(page, 'table: x', 'new')


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page with one part, in a folder of its own."""
    path = tmp_path / 'PAGE.md'
    path.write_text(PAGE)
    monkeypatch.setattr(docs, 'ROOT', str(tmp_path))
    monkeypatch.setattr(docs, 'PARTS', {('PAGE.md', 'table: x'): lambda: 'new'})
    monkeypatch.setattr(docs, 'PICTURES', {})
    return path


def test_the_check_names_the_part_and_the_command(page, capsys):
    assert docs.main(['--check']) == 1
    assert capsys.readouterr().out == (
        'PAGE.md: table: x: out of date; to mend it: python -m suite docs\n')
    assert page.read_text() == PAGE
    assert docs.main([]) == 0
    assert page.read_text() == PAGE.replace('old', 'new')
    assert docs.main(['--check']) == 0
    assert capsys.readouterr().out.endswith('1 generated parts, all up to date\n')


@pytest.mark.parametrize('text, code, why', [
    (PAGE + '<!-- table: y -->\n', 2, 'the parts table: x, table: y; suite/docs.py makes table: x'),
    ('', 2, 'PAGE.md has the parts none'),
    (PAGE.replace('end', 'e'), 2, 'PAGE.md: table: x: no lines <!-- table: x --> and'),
    (None, 3, 'PAGE.md: No such file or directory')])
def test_a_page_that_does_not_fit(text, code, why, page, capsys):
    if text is None:
        page.unlink()
    else:
        page.write_text(text)
    assert docs.main([]) == code
    assert why in capsys.readouterr().err


@pytest.mark.parametrize('content, code, why', [
    (None, 3, 'peers-alexnet.json: No such file or directory'),
    ('{"a', 2, 'peers-alexnet.json: Unterminated')])
def test_a_record_that_is_missing_or_damaged_is_named(content, code, why, page, tmp_path,
                                                      monkeypatch, capsys):
    monkeypatch.setattr(docs, 'RECORDS', str(tmp_path))
    monkeypatch.setattr(docs, 'PARTS', {
        ('PAGE.md', 'table: x'): lambda: docs.beside_peers('classic')})
    if content:
        (tmp_path / 'classic').mkdir()
        (tmp_path / 'classic' / 'peers-alexnet.json').write_text(content)
    assert docs.main([]) == code
    assert why in capsys.readouterr().err
    assert page.read_text() == PAGE


def test_the_command(tmp_path):
    words = [sys.executable, '-m', 'suite', 'docs']
    done = subprocess.run(words + ['--help'], cwd=docs.ROOT, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0 and '--check' in done.stdout
    assert subprocess.run(words + ['--chek'], cwd=docs.ROOT,
                          stderr=subprocess.DEVNULL).returncode == 2


# Samples

@pytest.mark.parametrize('path', [docs.PRINTED, docs.PRINTED_BY_A_JOB])
def test_a_sample_is_what_was_printed_but_for_the_lines_made_from_the_record(path):
    with open(os.path.join(docs.ROOT, path), encoding='utf-8') as file:
        printed = file.read().splitlines()
    shown = [line[4:] for line in docs.sample(path).splitlines()]
    chapters = [line for line in printed if docs.CHAPTERS_LINE.match(line)]
    assert [line for line in shown if docs.CHAPTERS_LINE.match(line)] == chapters
    first = printed.index(chapters[0])
    assert shown[:first + 1] == printed[:first + 1]


@pytest.mark.parametrize('path', [docs.PRINTED, docs.PRINTED_BY_A_JOB])
def test_what_was_printed_and_the_record_are_of_the_same_run(path):
    """The chapter's lines have the mean and the standard deviation of the record's samples."""
    with open(os.path.join(docs.ROOT, path[:-len('.txt')] + '.json'), encoding='utf-8') as file:
        record = json.load(file)
    assert record['status'] == 'finished' and len(record['results']) == 2
    with open(os.path.join(docs.ROOT, path), encoding='utf-8') as file:
        printed = file.read()
    for result in record['results']:
        assert ': %s across %d steps, %.3f +/- %.3f sec / batch\n' % (
            result['info_string'], len(result['samples_s']), result['mean_s'], result['sd_s']
        ) in printed
        for step in range(0, 100, 10):
            assert ': step %d, duration = %.3f\n' % (step, result['samples_s'][step]) in printed


@pytest.fixture
def printed(tmp_path, monkeypatch):
    """The output of a run of two passes, with an old wording, in a folder of its own."""
    monkeypatch.setattr(docs, 'ROOT', str(tmp_path))
    monkeypatch.setattr(docs.report, 'summary', lambda record: ['', 'new words'])
    monkeypatch.setattr(docs.records, 'load', lambda path: json.loads(open(path).read()))    # noqa: SIM115
    (tmp_path / 'a.json').write_text(json.dumps(
        {'results': [{'info_string': 'F'}, {'info_string': 'FB'}]}))
    path = tmp_path / 'a.txt'
    stamp = '2026-11-24 23:38:02.543826: '
    path.write_text('\n'.join([
        'Device: X', ' conv1   [1]',
        stamp + 'step 0, duration = 1.000', stamp + 'F across 1 steps, 1.000',
        'old words', '  more', 'old start',
        stamp + 'step 0, duration = 2.000', stamp + 'FB across 1 steps, 2.000',
        'old words', '']))
    return path


NEXT = '  Record: a.json    Next: python -m suite compare a.json chapter'


def test_a_new_wording_is_in_the_sample(printed):
    shown = re.sub(r'\S+ \S+\d: ', '', docs.sample('a.txt'))
    assert shown.split('\n') == [('    ' + line).rstrip() for line in (
        'Device: X', ' conv1   [1]', 'step 0, duration = 1.000', 'F across 1 steps, 1.000',
        'step 0, duration = 2.000', 'FB across 1 steps, 2.000', '', 'new words', NEXT)]


def test_a_short_sample(printed):
    shown = re.sub(r'\S+ \S+\d: ', '', docs.sample('a.txt', shorten=True))
    assert shown.split('\n') == [('    ' + line).rstrip() for line in (
        'Device: X', '...', 'F across 1 steps, 1.000', '...', 'FB across 1 steps, 2.000',
        '', 'new words', NEXT)]


@pytest.mark.parametrize('change', [lambda text: text.replace(': FB across', ': G across'),
                                    lambda text: text + text[text.index('2026'):]])
def test_a_sample_and_a_record_that_do_not_belong_together(change, printed):
    printed.write_text(change(printed.read_text()))
    with pytest.raises(ValueError, match='a.txt does not show the pass FB? of its record once'):
        docs.sample('a.txt')
