#!/bin/sh
# Print the folder of a Python environment made from today's lock; make it first where there is none.
#
#     environment.sh test      to run the tests in
#     environment.sh bench     to run the benchmarks in
#
# The classic runtime (TensorFlow 1.15) is taken where a Python 3.7 can be had; otherwise, and to bench on a GPU that is
# newer than TensorFlow 1.15, the modern one (TensorFlow 2.21). RUNTIME=classic or RUNTIME=modern chooses by hand. The
# folder goes to stdout, everything said to a person to stderr.
set -eu

cd "$(dirname "$0")/.."
purpose=$1

say() { printf '%s\n' "$*" >&2; }

# The first GPU's compute capability, such as 8.6; nothing without a GPU (or with a driver that does not tell).
capability() { nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sed -n '1{s/[^0-9.]//g;p;}' || :; }

has_gpu() { nvidia-smi -L 2>/dev/null | grep -q '^GPU '; }

# good FOLDER LOCK: its Python runs and it was made from this lock. The copy of the lock is written last, so an
# environment whose making was cut short has none and is made again.
good() { "$1/bin/python" -c '' 2>/dev/null && cmp -s "$2" "$1/$2"; }

# A Python from 3.10 to 3.13 that runs and can make environments.
find_modern_python() {
    # shellcheck disable=SC2016  # not for the shell to expand
    probe='import sys, ssl, venv, ensurepip; assert (3, 10) <= sys.version_info[:2] <= (3, 13)'
    for python in "${PYTHON:-}" python3.12 python3.13 python3.11 python3.10 python3 \
            "${PYENV_ROOT:-${HOME:-/}/.pyenv}"/versions/3.1[0-3]*/bin/python3; do
        if [ "$python" ] && "$python" -c "$probe" 2>/dev/null </dev/null; then
            "$python" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    say 'The modern runtime needs a Python from 3.10 to 3.13 with venv, and none was found on PATH or in pyenv. Install'
    say 'one (on Debian and Ubuntu: apt-get install python3 python3-venv), or name one: PYTHON=/path/to/python3.12'
    return 1
}

# make FOLDER LOCK PYTHON SIZE
make_environment() {
    say "Installing $2 into $1 with $3 ($4 to download, once) ..."
    rm -rf "$1"
    "$3" -m venv "$1" >&2
    "$1/bin/python" -m pip install --disable-pip-version-check -q --require-hashes -r "$2" >&2 || {
        say "pip could not install $2; its reason is above. If it found no network: connect, or name a mirror in"
        say 'PIP_INDEX_URL. Then give the same command again.'
        exit 1
    }
    cp "$2" "$1/$2"
}

classic() {
    good .venv requirements.lock || {
        python37=$(sh tools/find_python37.sh) || return 1
        make_environment .venv requirements.lock "$python37" '460 MB'
    }
    printf '%s\n' .venv
}

modern() {
    if [ "$purpose" = bench ] && has_gpu; then
        folder=.venv-modern lock=requirements-modern.lock size='3.2 GB'
    else
        folder=.venv-modern-cpu lock=requirements-modern-cpu.lock size='600 MB'
    fi
    good "$folder" "$lock" || {
        python=$(find_modern_python) || return 1
        make_environment "$folder" "$lock" "$python" "$size"
    }
    printf '%s\n' "$folder"
}

case "${RUNTIME:-}" in
    classic) rm -f .python37-not-found; classic ;;
    modern) modern ;;
    '')
        if [ "$purpose" = bench ] && newer=$(capability) && [ "${newer%%.*}" ] && [ "${newer%%.*}" -ge 8 ]; then
            say "This GPU's compute capability is $newer, beyond TensorFlow 1.15: taking the modern runtime."
            modern
        elif [ -e .python37-not-found ]; then
            say 'No Python 3.7 was found before: taking the modern runtime (RUNTIME=classic looks again).'
            modern
        else
            classic || {
                say 'Taking the modern runtime, TensorFlow 2.21, instead.'
                modern
                : >.python37-not-found      # looking and trying to fetch takes a while: not every time
            }
        fi ;;
    *) say "RUNTIME=$RUNTIME is not one of: classic, modern"; exit 2 ;;
esac
