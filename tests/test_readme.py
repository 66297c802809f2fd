"""The README: what it names exists, and both languages say the same. Its figures: test_docs.py."""
import os
import re

import pytest

from suite import docs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(scope='module', params=['README.md', 'README.zh-CN.md'])
def readme(request):
    return read(ROOT, request.param)


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def block(readme, name):
    """The lines between `<!-- NAME -->` and `<!-- end -->`."""
    return re.search('<!-- %s -->\n(.*?)<!-- end -->' % re.escape(name), readme, re.DOTALL).group(1)


def test_the_defaults_in_the_table_of_flags_are_the_scripts(readme):
    from common import cli
    args = vars(cli.argument_parser('').parse_args([]))
    rows = re.findall(r'^\| `--(\w+) \w+`[^|]*\|[^|]*\| (\w+) \|$', readme, re.MULTILINE)
    found = {name: value for name, value in rows if name in args}
    assert found == {name: str(args[name]) for name in
                     ('batch_size', 'num_batches', 'num_steps_burn_in', 'fetch', 'device',
                      'precision', 'intra_op_threads')}


def test_every_file_and_command_named_is_there(readme):
    for name in re.findall(r'`(?:python )?([\w./-]+\.(?:py|json|md)|\w+/)`', readme):
        if name not in ('MY_RECORD.json', 'A.json', 'B.json', 'results/'):
            assert os.path.exists(os.path.join(ROOT, name)), name
    makefile = read(ROOT, 'Makefile')
    for target in re.findall(r'(?:`|^    )make (\w+)', readme, re.MULTILINE):
        assert re.search('^%s:' % target, makefile, re.MULTILINE), target


def test_both_languages_have_the_same_commands_figures_and_files():
    english, chinese = read(ROOT, 'README.md'), read(ROOT, 'README.zh-CN.md')
    for same in [r'^    .*$',                            # commands and what they print
                 r'^<!-- .* -->$', r'^\| `([^` ]*)',          # generated parts; files, flags
                 r'^#+ ', r'https?://[^)\s]+']:
        assert [len(found) if same == r'^#+ ' else found
                for found in re.findall(same, english, re.MULTILINE)] \
            == [len(found) if same == r'^#+ ' else found
                for found in re.findall(same, chinese, re.MULTILINE)], same
    assert docs.markers(english) == docs.markers(chinese)
    for marker in docs.markers(english):
        parts = [block(text, marker) for text in (english, chinese)]
        if not marker.startswith('harness: '):           # a sentence
            assert parts[0] == parts[1]
        figures = [sorted(re.findall(r'\d[\d.]*\d|\d', part)) for part in parts]
        assert figures[0] == figures[1], marker
