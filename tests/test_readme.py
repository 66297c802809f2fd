"""README: the files it names exist, and both languages agree. Its figures: test_docs.py."""
import os
import re

import pytest

from suite import __main__ as suite

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# Small parts of what has a line.
NO_LINE = {'common/arguments.py', 'common/startup.py', 'common/text.py', 'common/workload.py',
           'suite/outcome.py', 'suite/tables.py'}
PAGES = ['README.md', 'README.zh-CN.md'] + [
    'docs/' + name for name in sorted(os.listdir(os.path.join(ROOT, 'docs')))]


@pytest.fixture(scope='module', params=PAGES)
def page(request):
    return read(ROOT, request.param)


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def test_the_defaults_in_the_table_of_flags_are_the_scripts():
    from common import cli
    args = vars(cli.argument_parser('').parse_args([]))
    rows = re.findall(r'^\| `--(\w+) \w+`[^|]*\|[^|]*\| (\w+) \|$',
                      read(ROOT, 'docs', 'flags.md'), re.MULTILINE)
    found = {name: value for name, value in rows if name in args}
    assert found == {name: str(args[name]) for name in
                     ('batch_size', 'num_batches', 'num_steps_burn_in', 'fetch', 'device',
                      'precision', 'intra_op_threads')}


def test_every_file_and_command_named_is_there(page):
    for name in re.findall(r'`(?:python )?((?:common|suite|tools|docs|docker|tests|references|'
                           r'results|requirements)/[\w./-]*|\w+_benchmark\.py)`', page):
        if 'NAME' not in name:
            assert os.path.exists(os.path.join(ROOT, name)), name
    makefile = read(ROOT, 'Makefile')
    for target in re.findall(r'(?:`|^    )make ([\w-]+)', page, re.MULTILINE):
        assert re.search('^%s:' % target, makefile, re.MULTILINE), target
    for verb in re.findall(r'python -m suite ([a-z]+)', page):
        assert verb in suite.VERBS, verb


def test_links_between_pages_lead_somewhere():
    for name in PAGES:
        folder = os.path.dirname(os.path.join(ROOT, name))
        for target in re.findall(r'\]\(([\w./-]+)\)', read(ROOT, name)):
            assert os.path.exists(os.path.join(folder, target)), (name, target)


def test_every_module_has_a_line_in_the_readme():
    """A package has one line, which names its modules or says what they do together."""
    first_cells = re.findall(r'^\| (`[^|]*`) \|', read(ROOT, 'README.md'), re.MULTILINE)
    named = set(re.findall('`([^`]*)`', ' '.join(first_cells)))
    for folder in 'common', 'suite':
        for name in os.listdir(os.path.join(ROOT, folder)):
            path = '%s/%s' % (folder, name)
            is_module = name.endswith('.py') and not name.startswith('__')
            if is_module and path not in NO_LINE:
                assert path in named, path


def test_both_languages_have_the_same_commands_figures_and_files():
    english, chinese = read(ROOT, 'README.md'), read(ROOT, 'README.zh-CN.md')
    for same in [r'^    ([^#\n]*)',                          # commands, without comments
                 r'^<!-- .* -->$', r'^\| (`[^|]*`) ',         # generated parts; files
                 r'^#+ ', r'\]\((https?://[^)\s]+)']:
        found = [[one.replace('、', ', ') for one in re.findall(same, text, re.MULTILINE)]
                 for text in (english, chinese)]
        assert found[0] and found[0] == found[1], same
