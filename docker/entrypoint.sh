#!/bin/sh
# What `docker run IMAGE` runs; --help says what it takes. It ends in exec, so that a signal reaches the benchmark itself.
# For a plain POSIX shell: in the classic image bash would complain at each start about conda's libtinfo, which
# LD_LIBRARY_PATH puts before its own.
set -u
trap 'exit 130' HUP INT TERM                    # until exec: the first process of a container ignores them otherwise
cd "$(dirname "$0")/.." || exit 3

results=${BENCHMARK_RESULTS:-/results} temporary=${TMPDIR:-/tmp} devices=${BENCHMARK_DEVICES:-/dev}
names=$(echo *_benchmark.py | sed 's/_benchmark\.py//g')

usage() {
    cat <<END
docker run --rm --gpus all IMAGE                       the four benchmarks in turn (python -m suite run)
docker run --rm --gpus all IMAGE --fetch both          the same with flags; run --help lists them
docker run --rm --gpus all IMAGE alexnet --no_lrn      one benchmark with its flags; alexnet --help lists them
docker run --rm --gpus all IMAGE doctor                what is seen of the GPU, driver and CUDA
docker run --rm IMAGE compare chapter anosy            python -m suite compare with its flags; also history and docs
docker run --rm -it --gpus all IMAGE bash              a shell; also python, sh and nvidia-smi with their arguments

The benchmarks: $names

In an image that was built with IMAGE=classic-horovod or IMAGE=modern-horovod, on 4 GPUs (NCCL needs more shared memory
than Docker gives):

docker run --rm --gpus all --shm-size=1g IMAGE horovodrun -np 4 python alexnet_benchmark.py

To keep the records, with you as their owner:

mkdir -p results-local
docker run --rm --gpus all --user "\$(id -u):\$(id -g)" -v "\$PWD/results-local:/results" IMAGE

Exit code: that of the benchmark, or of python -m suite run.
END
}

say() { printf '%s\n' "$*" >&2; }

# Sets `folder` to where records are kept, or to nothing.
find_folder() {
    if [ -e "$results" ] && [ ! -d "$results" ]; then
        say "$results is a file: mount a folder there (docker run -v FOLDER:$results)."
        exit 3
    elif [ ! -e "$results" ]; then
        say "No records are kept: nothing is mounted at $results (--help says how)."
    elif why=$(touch "$results/.writable" 2>&1) && rm -f "$results/.writable"; then
        folder=$results
    elif [ "${why%Read-only file system}" != "$why" ]; then
        say "The folder at $results is mounted read-only: leave out :ro (docker run -v FOLDER:$results)."
        exit 3
    else
        say "User $(id -u) may not write to the folder mounted at $results. Run the container as the owner of that folder:" \
            "docker run --user \"\$(id -u):\$(id -g)\" (with rootless Podman also --userns=keep-id)."
        exit 3
    fi
}

# Sets `quick` to --device cpu and the flags $1, which make a run quick, if the container has no GPU: --gpus all is
# easily forgotten, and the chapter's hundred steps take hours on a CPU. Flags of the user come later, so they win.
find_gpu() {
    for device in "$devices"/nvidia[0-9]* "$devices/dxg"; do           # dxg: WSL 2
        [ -e "$device" ] || continue
        case ,${NVIDIA_DRIVER_CAPABILITIES:-all}, in
            *,compute,* | *,all,*) return 0 ;;
        esac
        say "NVIDIA_DRIVER_CAPABILITIES=$NVIDIA_DRIVER_CAPABILITIES lacks compute, without which CUDA shows no GPU:" \
            "docker run -e NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        exit 3
    done
    say 'No NVIDIA GPU in this container (docker run --gpus all gives it one): a quick run on the CPU follows.'
    quick="--device cpu $1"
}

word=${1:-} name=
case $word in
    --help | -h | help)
        usage
        exit 0 ;;
esac
if [ ! -w "$temporary" ]; then
    say "Nothing can be written to $temporary, which TensorFlow needs: add --tmpfs $temporary to docker run --read-only."
    exit 3
fi
case $word in
    doctor | compare | history | docs)
        exec python -m suite "$@" ;;
    python | python3 | bash | sh | nvidia-smi)
        exec "$@" ;;
    horovodrun)
        command -v horovodrun >/dev/null || {
            say 'This image has no Horovod: build one with --build-arg IMAGE=classic-horovod or IMAGE=modern-horovod.'
            exit 3
        }
        exec "$@" ;;
    '' | run | -*)
        [ "$word" != run ] || shift ;;
    *)
        name=${word%.py}
        name=${name%_benchmark}
        if [ ! -f "${name}_benchmark.py" ]; then
            say "Unknown benchmark '$word': it is one of $names, or run, doctor, compare, history, docs, horovodrun," \
                'python, bash, sh or nvidia-smi. --help says more.'
            exit 2
        fi
        shift ;;
esac

folder='' quick='' protocol='--protocol quick'
[ -z "$name" ] || protocol=$(python -c 'import sys; from common import networks; from suite.run import plan
print(*networks.words(plan.protocol_options("quick", sys.argv[1])))' "$name") || exit 3
case " $* " in
    *' --help '* | *' -h '*) ;;
    *' --device'* | *' --protocol'*)                    # the user has chosen
        find_folder ;;
    *)
        find_folder
        find_gpu "$protocol" ;;
esac
# A name of its own for each run: two containers may start within a second.
date=$(date -u +%Y-%m-%dT%H-%M-%S.%6NZ)
# shellcheck disable=SC2086  # $quick is several words
if [ "$name" ]; then
    exec python "${name}_benchmark.py" ${folder:+--json "$folder/${name}_$date.json"} $quick "$@"
else
    exec python -m suite run --output "${folder:-$temporary/results}/$date" $quick "$@"
fi
