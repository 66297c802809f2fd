#!/bin/sh
# Add Horovod to the environment of the classic runtime, for more than one process (`make horovod`).
#
# Horovod comes as source: it is built with g++ against the TensorFlow of .venv, once, in about three minutes. The wheel
# is kept in ~/.cache/cnn-benchmark (XDG_CACHE_HOME), under a key of all that it depends on, the HOROVOD_ variables of its
# build among them (HOROVOD_GPU_OPERATIONS=NCCL, HOROVOD_NCCL_HOME=...). Without those it reduces on the CPU, over gloo.
set -eu

cd "$(dirname "$0")/.."
lock=requirements-horovod.lock

say() { printf '%s\n' "$*" >&2; }

folder=$(RUNTIME=classic sh tools/environment.sh test)
python=$PWD/$folder/bin/python

key=$({
    cat "$lock"
    grep '^tensorflow-gpu==' requirements.lock
    "$python" -c 'import platform, sys; print(sys.version, platform.machine())'
    g++ --version 2>/dev/null || :
    env | grep '^HOROVOD_' | sort || :
} | sha256sum | cut -c 1-16)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/cnn-benchmark/horovod-$key

# The key is written last, so an installation that was cut short is made again.
if [ "$(cat "$folder/horovod" 2>/dev/null)" = "$key" ] && "$python" -c 'import horovod' 2>/dev/null; then
    say "Horovod is in $folder."
    exit 0
fi

mkdir -p "$cache"
own=$(mktemp -d "$cache/making.XXXXXX")
trap 'rm -rf "$own"' EXIT
pip() { "$python" -m pip "$@" --disable-pip-version-check -q --no-deps >&2; }

# What Horovod needs must be there before it is built. Its own entry in the lock is the source.
awk '/^[^ ]/ { own = /^horovod==/ } own' "$lock" >"$own/horovod.lock"
awk '/^[^ ]/ { own = /^horovod==/ } !own' "$lock" >"$own/others.lock"
pip install --require-hashes -r "$own/others.lock"

if ! ls "$cache"/horovod-*.whl >/dev/null 2>&1; then
    command -v g++ >/dev/null || {
        say 'Horovod is built with a C++ compiler, and there is no g++ on PATH. Install it (on Debian and Ubuntu:'
        say 'apt-get install g++), then give the same command again.'
        exit 1
    }
    say 'Building Horovod against the TensorFlow of this environment, once, in about three minutes ...'
    # pip's own cache would give a wheel that was built against another TensorFlow.
    PATH=$PWD/$folder/bin:$PATH HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 \
        HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 \
        pip wheel --no-cache-dir --no-build-isolation --require-hashes --wheel-dir "$own" \
        -r "$own/horovod.lock"
    mv "$own"/horovod-*.whl "$cache"
fi
pip install --force-reinstall "$cache"/horovod-*.whl
printf '%s\n' "$key" >"$folder/horovod"
say "Horovod is in $folder."
