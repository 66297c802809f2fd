#!/bin/sh
# Build Horovod against the TensorFlow of a Python environment.
#
#     horovod_wheel.sh PYTHON LOCK FOLDER      the wheel goes into FOLDER, what else is in LOCK into the environment
#
# It reduces on the CPU, over gloo, if the variables of Horovod's build do not say otherwise, such as
# HOROVOD_GPU_OPERATIONS=NCCL and HOROVOD_NCCL_HOME.
set -eu

python=$1 lock=$2 folder=$3

command -v g++ >/dev/null || {
    echo 'Horovod is built with a C++ compiler, and there is no g++ on PATH. Install it (on Debian and Ubuntu:' >&2
    echo 'apt-get install g++), then give the same command again.' >&2
    exit 1
}
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
pip() { "$python" -m pip "$@" --disable-pip-version-check -q --no-deps >&2; }

# What Horovod needs must be there before it is built. Its own entry in the lock is the source.
awk '/^[^ ]/ { own = /^horovod==/ } !own' "$lock" >"$own/others.lock"
awk '/^[^ ]/ { own = /^horovod==/ } own' "$lock" >"$own/horovod.lock"
pip install --require-hashes -r "$own/others.lock"

PATH=$(dirname "$python"):$PATH
export PATH HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 \
    HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
pip download --no-binary horovod --no-build-isolation --require-hashes --dest "$own" -r "$own/horovod.lock"
tar -xzf "$own"/horovod-*.tar.gz -C "$own"
# Its operations for XLA, which nothing here uses, include headers that TensorFlow 2.21 comes without.
sed -i '/xla_mpi_ops\.cc/d' "$own"/horovod-*/horovod/tensorflow/CMakeLists.txt
# pip's own cache would give a wheel that was built against another TensorFlow.
pip wheel --no-cache-dir --no-build-isolation --wheel-dir "$own" "$own"/horovod-*/
mkdir -p "$folder"
mv "$own"/horovod-*.whl "$folder"
