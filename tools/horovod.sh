#!/bin/sh
# Add Horovod to an environment, for more than one process.
#
#     horovod.sh          to the environment that the benchmarks run in (`make horovod`)
#     horovod.sh test     to the environment that the tests run in
#
# Prints the folder of the environment.
#
# It is built once, in about three minutes: the wheels are kept in ~/.cache/cnn-benchmark (XDG_CACHE_HOME), under a key of
# the lock, TensorFlow, Python, the compilers, NCCL's header, and the variables of the build.
set -eu

cd -P "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

folder=$(python3 tools/environment.py "${1:-bench}")
python=$PWD/$folder/bin/python
case $folder in
    .venv) lock=requirements/horovod-classic.lock own_lock=requirements/classic.lock ;;
    *) lock=requirements/horovod-modern.lock own_lock=requirements/modern.lock ;;
esac

# By these pip would install something else, or somewhere else than into the environment.
unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PYTHONPATH
export PIP_USER=0

key=$({
    cat "$lock" tools/horovod_wheel.sh
    grep -E '^tensorflow(-gpu|-cpu)?==' "$own_lock"
    "$python" -c 'import platform, sys; print(sys.version, platform.machine())'
    # Words of CXX may be options, so it is not quoted.
    # shellcheck disable=SC2086
    ${CXX:-g++} --version 2>/dev/null || :
    "${HOROVOD_CUDA_HOME:+$HOROVOD_CUDA_HOME/bin/}nvcc" --version 2>/dev/null || :
    grep -h 'define NCCL_VERSION_CODE' "${HOROVOD_NCCL_INCLUDE:-${HOROVOD_NCCL_HOME:-/usr}/include}/nccl.h" 2>/dev/null || :
    env | grep -E '^(HOROVOD_.*|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS)=' | sort || :
} | sha256sum | cut -c 1-16)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/cnn-benchmark/horovod-$key

# Two calls at once wait for each other, by the file of the key.
exec 9>>"$folder/horovod"
if command -v flock >/dev/null && ! flock -n 9; then
    say "Waiting for another make horovod in $PWD ..."
    flock 9 || say "$folder cannot be locked: use it for one command at a time."
fi

# The key is written last, so an installation that was cut short is made again.
if [ "$(cat "$folder/horovod" 2>/dev/null)" != "$key" ] || ! "$python" -c 'import horovod' 2>/dev/null; then
    if ! ls "$cache"/horovod-*.whl >/dev/null 2>&1; then
        say 'Building Horovod against the TensorFlow of this environment, once, in about three minutes ...'
        sh tools/horovod_wheel.sh "$python" "$lock" "$cache"
    fi
    "$python" -m pip install --disable-pip-version-check -q --no-deps --force-reinstall "$cache"/*.whl >&2
    printf '%s\n' "$key" >"$folder/horovod"
fi
say "Horovod is in $folder."
printf '%s\n' "$folder"
