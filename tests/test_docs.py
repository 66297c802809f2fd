"""python -m suite docs: every generated part is what the records give, and the check finds one that
is not."""
import os

import pytest

from suite import docs

PAGE = 'a\n<!-- table: x -->\n\nold\n\n<!-- end -->\nb\n'


def test_every_part_is_up_to_date():
    """If not: python -m suite docs."""
    assert docs.update()[1] == []


def test_every_marker_has_its_function_whatever_page_it_is_on():
    pages = ['README.md', 'README.zh-CN.md'] + [
        'docs/' + name for name in sorted(os.listdir(os.path.join(docs.ROOT, 'docs')))
        if name.endswith('.md')]
    parts = []
    for page in pages:
        with open(os.path.join(docs.ROOT, page), encoding='utf-8') as file:
            parts += [(page, marker) for marker, _ in docs.PART.findall(file.read())]
    assert sorted(parts) == sorted(docs.PARTS)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page with one part, in a folder of its own."""
    path = tmp_path / 'PAGE.md'
    path.write_text(PAGE)
    monkeypatch.setattr(docs, 'ROOT', str(tmp_path))
    monkeypatch.setattr(docs, 'RECORDS', str(tmp_path))
    monkeypatch.setattr(docs, 'PARTS', {('PAGE.md', 'table: x'): lambda: '\n| new |\n'})
    monkeypatch.setattr(docs, 'PICTURES', {})
    return path


def test_the_check_names_the_part_and_the_command(page, capsys):
    assert docs.main(['--check']) == 1
    assert capsys.readouterr().out == (
        'PAGE.md: table: x: out of date; to mend it: python -m suite docs\n')
    assert page.read_text() == PAGE
    assert docs.main([]) == 0
    assert page.read_text() == PAGE.replace('old', '| new |')
    assert docs.main(['--check']) == 0
    assert capsys.readouterr().out.endswith('1 generated parts, all up to date\n')
    assert docs.main(['--chek']) == 2


@pytest.mark.parametrize('text, code, why', [
    (PAGE + '<!-- table: y -->\n<!-- end -->\n', 2, 'the parts table: x, table: y; suite/docs.py'),
    ('', 2, 'PAGE.md has the parts none; suite/docs.py makes table: x'),
    (PAGE.replace('end', 'e'), 2, 'PAGE.md has the parts none'),
    ('<!-- table: y -->\n' + PAGE, 2, 'PAGE.md has the parts table: y; '),
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
    monkeypatch.setattr(docs, 'PARTS', {
        ('PAGE.md', 'table: x'): lambda: docs.beside_peers('classic')})
    if content:
        (tmp_path / 'classic').mkdir()
        (tmp_path / 'classic' / 'peers-alexnet.json').write_text(content)
    assert docs.main([]) == code
    assert why in capsys.readouterr().err
    assert page.read_text() == PAGE
