"""The rules of the code: allowed imports, and things that may occur in one place only."""
import ast
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if not os.path.exists(os.path.join(ROOT, '.git')):
    pytest.skip('not a git checkout', allow_module_level=True)

SCRIPTS = {'alexnet_benchmark.py', 'vgg16_benchmark.py', 'inception_v3_benchmark.py',
           'resnet_v2_benchmark.py'}
LONGEST_FUNCTION = 60                # lines
ROOT_ENTRIES = 25


def tracked():
    """The files of the repository, by their path."""
    listed = subprocess.run(['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
                            cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [path for path in listed.stdout.splitlines()
            if os.path.exists(os.path.join(ROOT, path))]


def production():
    """The Python files that are not tests: {path: syntax tree}."""
    paths = [path for path in tracked() if path.endswith('.py') and not path.startswith('tests/')]
    trees = {}
    for path in paths:
        with open(os.path.join(ROOT, path), encoding='utf-8') as file:
            trees[path] = ast.parse(file.read())
    return trees


PRODUCTION = production()


def imports(path):
    """The modules that a file imports, at the top or inside functions."""
    names = set()
    for node in ast.walk(PRODUCTION[path]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
            names |= {'%s.%s' % (node.module, alias.name) for alias in node.names}
    return names


def files_of(name):
    """The files of a module and of the packages above it, if they are in this repository."""
    parts = name.split('.')
    for i in range(len(parts)):
        path = '/'.join(parts[:i + 1])
        yield from {path + '.py', path + '/__init__.py'} & set(PRODUCTION)


def reach_tensorflow():
    """The files whose import imports TensorFlow, directly or through another of our files."""
    needs = {path: {other for name in imports(path) for other in files_of(name)}
             for path in PRODUCTION}
    reaching = {path for path in PRODUCTION
                if any(name.split('.')[0] in ('tensorflow', 'tf_slim') for name in imports(path))}
    while True:
        more = {path for path, others in needs.items() if others & reaching} - reaching
        if not more:
            return reaching
        reaching |= more


@pytest.mark.parametrize('path', [path for path in PRODUCTION if path.startswith('common/')])
def test_common_does_not_import_the_suite(path):
    assert not [name for name in imports(path) if name.split('.')[0] == 'suite']


def test_the_suite_works_without_tensorflow():
    reaching = reach_tensorflow()
    assert 'common/benchmark.py' in reaching             # the rule finds what it looks for
    assert not [path for path in reaching if path.startswith('suite/')
                and not path.startswith('suite/peers/')]


@pytest.mark.parametrize('path', list(PRODUCTION))
def test_production_code_imports_no_tests(path):
    assert not [name for name in imports(path) if name.split('.')[0] in ('tests', 'unittest')]


@pytest.mark.parametrize('path', [path for path in PRODUCTION if path not in SCRIPTS])
def test_no_function_is_long(path):
    long = {node.name: node.end_lineno - node.lineno + 1 if hasattr(node, 'end_lineno')
            else last_line(node) - node.lineno + 1
            for node in ast.walk(PRODUCTION[path]) if isinstance(node, ast.FunctionDef)}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION} == {}


def last_line(node):
    """The last line of a node; Python 3.7 has no end_lineno."""
    return max(getattr(part, 'lineno', 0) for part in ast.walk(node))


def strings(path):
    """The string constants of a file that are not docstrings."""
    tree = PRODUCTION[path]
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [getattr(node, 's', '') for node in ast.walk(tree)
            if isinstance(getattr(node, 's', None), str) and id(node) not in docstrings]


def test_one_module_reads_proc_and_cgroups():
    readers = {path for path in PRODUCTION
               for text in strings(path) if re.match(r'/?(proc|sys/fs)/', text)}
    assert readers <= {'common/machine/host.py', 'tools/environment.py'}


def test_one_module_knows_the_networks():
    """A list of two networks or more stands in common/networks.py alone; what differs by network
    in peers/ and in published figures is looked up by name."""
    names = {'alexnet', 'vgg16', 'inception_v3', 'resnet_v2'}
    listing = set()
    for path, tree in PRODUCTION.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
                found = {getattr(part, 's', None) for part in node.elts} & names
                if len(found) > 1:
                    listing.add(path)
    assert listing == set()


@pytest.mark.parametrize('function, home', [
    ('significant', 'common/text.py'), ('table', 'common/text.py'), ('markdown', 'common/text.py'),
    ('of_run', 'suite/outcome.py'), ('of_pass', 'suite/outcome.py')])
def test_what_stands_once(function, home):
    assert any(isinstance(node, ast.FunctionDef) and node.name == function
               for node in ast.walk(PRODUCTION[home]))


@pytest.mark.parametrize('sign, home', [
    (r'max\(map\(len, \w+\)\)', 'common/text.py'),       # the widths of a table's columns
    (r"'---'", 'common/text.py'),                        # the line below a Markdown header
    (r'log10', 'common/text.py'),                        # the digits of a number
])
def test_tables_and_digits_are_made_in_one_place(sign, home):
    makers = set()
    for path in PRODUCTION:
        with open(os.path.join(ROOT, path), encoding='utf-8') as file:
            if re.search(sign, file.read()):
                makers.add(path)
    assert makers <= {home}


def test_the_root_is_small():
    entries = {path.split('/')[0] for path in tracked()}
    assert len(entries) <= ROOT_ENTRIES, sorted(entries)
    assert {entry for entry in entries if entry.endswith('.py')} == SCRIPTS


@pytest.mark.parametrize('function', ['run', 'measure'])
def test_the_story_of_a_run_names_no_probe(function):
    body, = [node for node in ast.walk(PRODUCTION['common/benchmark.py'])
             if isinstance(node, ast.FunctionDef) and node.name == function]
    probes = {os.path.basename(path)[:-3] for path in PRODUCTION
              if re.match(r'common/probes/[a-z]+\.py$', path)}
    assert {node.id for node in ast.walk(body) if isinstance(node, ast.Name)} & probes == set()
