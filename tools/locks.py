"""Makes the locks in requirements/ again after a list there was changed: `make locks`.

uv resolves each list for all its Pythons. The versions in a lock stay where the list allows them:
remove the lock first for the newest. Only the hashes of the files that are installed here get into
a lock: the wheels for Linux on x86-64 and ARM, and the source where there is no wheel. Needs Python
3.11 or later.
"""
import os
import re
import subprocess
import sys
import tempfile

import tomllib

from tools import environment

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
MODERN, X86, BOTH = ('310', '311', '312', '313'), ('x86_64',), ('x86_64', 'aarch64')

# A lock, the lists (without requirements/ and .txt) that it is made from, its Pythons and machines.
# A lock that is installed on top of another has the same versions, and only what that one lacks.
LOCKS = [
    ('classic', ['../requirements', 'suite', 'test'], ('37',), X86, None),
    ('modern', ['modern', 'suite', 'test'], MODERN, BOTH, None),
    ('cuda', ['modern', 'cuda'], MODERN, X86, 'modern'),
    ('horovod-classic', ['horovod'], ('37',), X86, 'classic'),
    ('horovod-modern', ['horovod'], MODERN, BOTH, 'modern'),
    ('uv', ['uv'], MODERN, BOTH, None)]


def resolve(lists, python, locks):
    """Returns the packages as uv resolves them, with the versions of `locks`: the tables of a
    pylock.toml."""
    variables = environment.uv_variables()
    for name in 'UV_INDEX', 'UV_EXTRA_INDEX_URL', 'UV_FIND_LINKS':   # may lack files of others
        variables.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, 'pylock.toml')
        subprocess.run(
            [environment.find_uv(), 'pip', 'compile', '--quiet', '--output-file', output,
             '--python-version', '%s.%s' % (python[0], python[1:])]
            + ['--constraint=' + lock for lock in locks if os.path.exists(lock)]
            + (['--python-platform=x86_64-manylinux_2_28'] if python == '37' else ['--universal'])
            + ['requirements/%s.txt' % name for name in lists],
            check=True, env=variables)
        with open(output, 'rb') as file:
            return tomllib.load(file)['packages']


def matching(marker, pythons):
    """Returns those of the Pythons that a package's marker allows on Linux."""
    if "sys_platform == 'win32'" in marker:
        return ()
    for operator, minor in re.findall(r"python_full_version (<|==|>=) '3\.(\d+)", marker):
        compare = {'<': int.__lt__, '==': int.__eq__, '>=': int.__ge__}[operator]
        pythons = tuple(python for python in pythons if compare(int(python[1:]), int(minor)))
    return pythons


def targets(wheel, pythons, machines):
    """Returns the (Python, machine) pairs that a wheel is for, by its file's name."""
    python_tags, abi, platforms = wheel[:-len('.whl')].split('-')[-3:]
    on = [machine for machine in machines
          if platforms == 'any' or re.search('(?<!musl)linux[^.]*_%s' % machine, platforms)]
    tags = python_tags.split('.')
    return {(python, machine) for machine in on for python in pythons
            if 'py3' in tags or 'py' + python in tags
            or ('cp' + python in tags and abi in ('cp' + python, 'cp%sm' % python, 'none'))
            or (abi == 'abi3' and any(int(tag[2:]) <= int(python) for tag in tags))}


def hashes(package, pythons, machines):
    """Returns the hashes of the files of a package that are installed here."""
    kept, reached = [], set()
    for wheel in package.get('wheels', []):
        name = wheel.get('name') or wheel['url'].rpartition('/')[2]
        if targets(name, pythons, machines):
            kept.append(wheel['hashes']['sha256'])
            reached |= targets(name, pythons, machines)
    if len(reached) < len(pythons) * len(machines) and 'sdist' in package:
        kept.append(package['sdist']['hashes']['sha256'])
    return kept


def main():
    os.chdir(ROOT)
    for name, lists, pythons, machines, below in LOCKS:
        lock, lines, others = 'requirements/%s.lock' % name, [], []
        if below:
            others = ['requirements/%s.lock' % below]
            with open(others[0]) as file:
                below = re.findall(r'^([\w.-]+)==', file.read(), re.MULTILINE)
        for package in resolve(lists, pythons[0], [lock] + others):
            marker = package.get('marker', '')
            own = matching(marker, pythons)
            if own and package['name'] not in (below or ()):
                lines.append(' \\\n    --hash=sha256:'.join(
                    ['%s==%s%s' % (package['name'], package['version'],
                                   '' if own == pythons else ' ; ' + marker)]
                    + hashes(package, own, machines)))
        with open(lock, 'w') as file:
            file.write('\n'.join(['# Made by tools/locks.py from ' + ', '.join(
                os.path.normpath('requirements/%s.txt' % path) for path in lists)] + lines) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
