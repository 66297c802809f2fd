#!/bin/sh
# Build Horovod against the TensorFlow of a Python environment.
#
#     horovod_wheel.sh PYTHON LOCK FOLDER      the wheels go into FOLDER: Horovod, and what it needs to run
#
# It reduces on the CPU, over gloo, if the variables of Horovod's build do not say otherwise, such as
# HOROVOD_GPU_OPERATIONS=NCCL and HOROVOD_NCCL_HOME. A Horovod that does not load with this TensorFlow, or that has no
# gloo or not the NCCL it was to have, does not reach FOLDER. What builds Horovod stays in the environment.
set -eu

python=$1 lock=$2 folder=$3

command -v g++ >/dev/null || {
    echo 'Horovod is built with a C++ compiler, and there is no g++ on PATH. Install it (on Debian and Ubuntu:' >&2
    echo 'apt-get install g++), then give the same command again.' >&2
    exit 1
}
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT
# Without pip's cache, which would give a Horovod that was built against another TensorFlow.
pip() { "$python" -m pip "$@" --disable-pip-version-check -q --no-cache-dir --no-deps >&2; }

# What Horovod needs must be there before it is built. Its own entry in the lock is the source.
awk '/^[^ ]/ { own = /^horovod==/ } !own' "$lock" >"$own/others.lock"
awk '/^[^ ]/ { own = /^horovod==/ } own' "$lock" >"$own/horovod.lock"
pip wheel --require-hashes --wheel-dir "$own/wheels" -r "$own/others.lock"
pip install "$own"/wheels/*.whl
rm "$own"/wheels/cmake-*.whl

PATH=$(dirname "$python"):$PATH
export PATH HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 \
    HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
pip download --no-binary horovod --no-build-isolation --require-hashes --dest "$own" -r "$own/horovod.lock"
tar -xzf "$own"/horovod-*.tar.gz -C "$own"
# Its operations for XLA, which nothing here uses, include headers that TensorFlow 2.21 comes without.
sed -i '/xla_mpi_ops\.cc/d' "$own"/horovod-*/horovod/tensorflow/CMakeLists.txt
# Horovod declares and calls this function, which TensorFlow 2.21 no longer exports. There, a stream has it as a member.
cat >>"$(echo "$own"/horovod-*/horovod/tensorflow/mpi_ops.cc)" <<'END'
#if HAVE_GPU && TENSORFLOW_VERSION >= 2021000000
GpuStreamHandle stream_executor::gpu::AsGpuStreamValue(stream_executor::Stream* stream) {
  return static_cast<GpuStreamHandle>(stream->platform_specific_handle().stream);
}
#endif
END
# Horovod uses these without including them, which g++ allows up to version 12.
export CXXFLAGS="-include string -include stdexcept -include cstdint ${CXXFLAGS:-}"
pip wheel --no-build-isolation --wheel-dir "$own/wheels" "$own"/horovod-*/

# Does it load, and does it have what was requested?
pip install --target "$own/check" "$own"/wheels/horovod-*.whl
PYTHONPATH=$own/check "$python" - >"$own/check.log" 2>&1 <<'END' || {
import os
import horovod.tensorflow as hvd
assert hvd.gloo_built(), 'it has no gloo'
assert os.environ.get('HOROVOD_GPU_OPERATIONS') != 'NCCL' or hvd.nccl_built(), 'it has no NCCL'
END
    cat "$own/check.log" >&2
    echo 'Horovod was built, but cannot be used with the TensorFlow of this environment: the lines above say why.' >&2
    exit 1
}
# TensorFlow exports functions of the CUDA runtime too, of another version. With a static NCCL, which brings the whole
# runtime along, Horovod must not take any of them.
if [ "${HOROVOD_NCCL_LINK:-}" = STATIC ] \
    && nm -D --undefined-only "$own"/check/horovod/tensorflow/mpi_lib.*.so | grep -E ' U (__)?(cuda|nccl)' >&2; then
    echo 'Horovod was built, but would take the functions above from another library than its own.' >&2
    exit 1
fi

# Horovod's own wheel last: where it is, the others are.
mkdir -p "$folder"
mv "$own"/wheels/horovod-*.whl "$own"
mv "$own"/wheels/*.whl "$folder"
mv "$own"/horovod-*.whl "$folder"
