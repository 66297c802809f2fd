#!/bin/sh
# What `docker run IMAGE` runs; --help says what it takes. For a plain POSIX shell: in the classic image bash would
# complain at each start about conda's libtinfo, which LD_LIBRARY_PATH puts before its own.
set -u
cd "$(dirname "$0")/.." || exit 3

NAMES=$(python -c 'from common.networks import NETWORKS; print(*NETWORKS)') || exit 3
RESULTS=${BENCHMARK_RESULTS:-/results}

usage() {
    cat <<'END'
docker run --rm --gpus all IMAGE                       the benchmarks in turn
docker run --rm --gpus all IMAGE --fetch ops           the same with these flags for each
docker run --rm --gpus all IMAGE alexnet --no_lrn      one benchmark with its flags
docker run --rm --gpus all IMAGE alexnet --help        the flags of a benchmark
docker run --rm --gpus all IMAGE doctor                what is seen of the GPU, driver and CUDA
docker run --rm IMAGE compare chapter jcjohnson        python -m suite compare with its flags
END
    printf '\nThe benchmarks: %s\n' "$NAMES"
    cat <<'END'

In an image of the target classic-horovod or modern-horovod, on 4 GPUs (NCCL needs more shared memory than Docker gives):

docker run --rm --gpus all --shm-size=1g IMAGE horovodrun -np 4 python alexnet_benchmark.py

To keep the JSON records, each run in a folder of its own, with you as the owner:

mkdir -p results-local
docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD/results-local:/results" IMAGE

Exit code: that of the benchmark; of all of them 0, or 1 if one failed.
END
}

refuse() {
    echo "$1 --help says what is allowed." >&2
    exit 2
}

# Asked to stop by Ctrl-C or `docker stop`: the child gets SIGINT, on which a benchmark ends by itself within a step;
# asked again, it is killed. `stopped` is the exit code that follows.
child=
stopped=
signal=INT
# shellcheck disable=SC2317,SC2329  # the traps call it
stop() {
    stopped=$1
    [ -z "$child" ] || kill -s "$signal" "$child" 2>/dev/null
    signal=KILL
}
trap 'stop 130' INT
trap 'stop 143' TERM

# Runs a command and sets `status` to its exit code. In the background, because a shell answers a signal only between
# commands or while it waits; in a session of its own, so that Ctrl-C does not reach it twice; and with SIGINT as it
# was, because a shell makes its background commands ignore it.
run() {
    status=$stopped
    [ -z "$stopped" ] || return 0
    setsid env --default-signal=INT "$@" &
    child=$!
    [ -z "$stopped" ] || kill -s INT "$child"            # asked to stop before `child` was set
    wait "$child"
    status=$?
    while kill -s 0 "$child" 2>/dev/null; do             # it was a signal that ended the waiting
        wait "$child"
        status=$?
    done
    child=
}

# Sets `folder` to a new folder for the records; to nothing where none can be kept.
make_folder() {
    folder=
    if [ ! -d "$RESULTS" ]; then
        echo "No records are kept: nothing is mounted at $RESULTS (--help says how)."
    elif [ ! -w "$RESULTS" ] || [ ! -x "$RESULTS" ]; then
        echo "No records are kept: user $(id -u) may not write to $RESULTS (--help says how)."
    else
        folder=$RESULTS/$(date -u +%Y-%m-%dT%H-%M-%SZ)
        if ! mkdir "$folder" 2>/dev/null; then
            sleep 1                                      # another container took this second's name
            folder=$RESULTS/$(date -u +%Y-%m-%dT%H-%M-%SZ)
            mkdir "$folder" || folder=
        fi
    fi
}

# Runs the benchmark $1 with the flags that follow. A --json among them is the caller's and comes after ours, so it
# wins.
benchmark() {
    name=$1
    shift
    if [ "$folder" ]; then
        set -- --json "$folder/$name.json" "$@"
    fi
    run python "${name}_benchmark.py" "$@"
}

all() {
    for flag; do
        case $flag in
            --json | --json=*) refuse '--json PATH is one file, and this runs several benchmarks: name one of them.' ;;
        esac
    done
    make_folder
    failed=
    for name in $NAMES; do
        [ -z "$stopped" ] || break
        printf '\n%s\n' "${name}_benchmark.py $*"
        benchmark "$name" "$@"
        [ "$status" -ne 130 ] || stopped=${stopped:-130}
        [ "$status" -eq 0 ] || failed="$failed $name (exit $status)"
    done
    if [ "$failed" ]; then
        printf '\nFailed:%s\n' "$failed" >&2
        status=1
    elif [ -z "$stopped" ]; then
        printf '\nAll benchmarks ran.\n'
    fi
}

word=${1:-}
case $word in
    --help | -h | help)
        usage
        exit 0 ;;
    '' | -*)
        all "$@" ;;
    doctor | compare)
        run python -m suite "$@"
        folder= ;;
    horovodrun)
        command -v horovodrun >/dev/null || {
            echo 'This image has no Horovod: build one with --target classic-horovod or modern-horovod.' >&2
            exit 3
        }
        run "$@"
        folder= ;;
    *)
        name=${word%.py}
        name=${name%_benchmark}
        known=
        for one in $NAMES; do [ "$one" != "$name" ] || known=1; done
        [ "$known" ] || refuse "Unknown benchmark '$word': it is one of $NAMES, or doctor, compare or horovodrun."
        shift
        make_folder
        benchmark "$name" "$@" ;;
esac

if [ "$folder" ] && ! rmdir "$folder" 2>/dev/null; then  # an empty one goes: nothing was recorded
    echo "Records: $folder"
fi
exit "${stopped:-$status}"
