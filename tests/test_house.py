"""Which file may import which (../docs/CONTRIBUTING.md)."""
import ast
import os

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def production():
    """The Python files that are not tests: {path: syntax tree}."""
    folders = ['', 'common', 'suite', 'tools']
    paths = [name for name in os.listdir(ROOT) if name.endswith('.py')]
    for folder in folders[1:]:
        for place, _, names in os.walk(os.path.join(ROOT, folder)):
            paths += [os.path.relpath(os.path.join(place, name), ROOT) for name in names
                      if name.endswith('.py')]
    trees = {}
    for path in paths:
        with open(os.path.join(ROOT, path), encoding='utf-8') as file:
            trees[path.replace(os.sep, '/')] = ast.parse(file.read())
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


def imported_files(path):
    """The files of this repository that a file imports; a package's __init__.py only if it is
    meant itself."""
    stems = [name.replace('.', '/') for name in imports(path)]
    return {file for stem in stems for file in (stem + '.py', stem + '/__init__.py')
            if file in PRODUCTION and file != path}


NEEDS = {path: imported_files(path) for path in PRODUCTION}


def reachable(path):
    """The files that a file imports, directly or through others."""
    found, stack = set(), [path]
    while stack:
        for file in NEEDS[stack.pop()] - found:
            found.add(file)
            stack.append(file)
    return found


def top_level(path):
    return {name.split('.')[0] for name in imports(path)}


def test_no_two_files_import_each_other_at_any_distance():
    assert [path for path in PRODUCTION if path in reachable(path)] == []


@pytest.mark.parametrize('path', [path for path in PRODUCTION if path.startswith('common/')])
def test_common_does_not_import_the_suite(path):
    assert 'suite' not in top_level(path)


@pytest.mark.parametrize('path', list(PRODUCTION))
def test_production_code_imports_no_tests(path):
    assert not top_level(path) & {'tests', 'unittest', 'pytest'}


def test_only_peers_needs_tensorflow_in_the_suite():
    def needs_tensorflow(path):
        return any(top_level(file) & {'tensorflow', 'tf_slim'} for file in {path} | reachable(path))
    assert needs_tensorflow('common/benchmark.py')       # the rule finds what it looks for
    assert [path for path in PRODUCTION if path.startswith('suite/') and needs_tensorflow(path)
            and not path.startswith('suite/peers/')] == []


def test_the_environment_and_the_diagnosis_of_a_gpu_need_the_standard_library_alone():
    ours = {'common', 'suite', 'tools'}
    needed = {name for file in {'tools/environment.py'} | reachable('tools/environment.py')
              for name in top_level(file)} - ours
    assert not needed & {'numpy', 'tensorflow', 'jinja2', 'pynvml'}
