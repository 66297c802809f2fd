#!/bin/bash
# Measure, on one NVIDIA GPU and with the `python` on PATH, all that this project can say of that GPU.
#
#     bash tools/gpu_programme.sh FOLDER                                  such as results/h100; 25 minutes at most
#     bash tools/gpu_programme.sh FOLDER --device cpu --batch_size 1      a rehearsal: these flags go to every run
#
# The records directly in FOLDER are of the chapter's protocol: `python -m suite docs` makes a column of README's table of
# them if FOLDER is in results/. What each part prints is in FOLDER/logs/, how it ended in FOLDER/programme.txt, from the
# moment when it ends. A part that fails or takes longer than its limit does not stop the others. The same command again,
# after Ctrl-C or after the 25 minutes, runs the parts that have not ended as expected yet. The environment variable
# LIMIT_S is another limit for the whole, in seconds.
#
# Exit codes: 0 all parts ended as expected; 1 some did not, or had no time left; 2 bad usage; 3 no Python; 130
# interrupted.
set -u

# Sets the weights of AlexNet to NaN, to test that the check finds it. Its convolutions run, and a ReLU and a max_pool may
# hide the NaN.
nan='
import sys
import alexnet_benchmark
from common.tf1 import tf
tf.global_variables_initializer = lambda: [
    variable.assign(tf.fill(variable.shape, float("nan"))) if "weights" in variable.op.name
    else variable.initializer for variable in tf.global_variables()]
sys.exit(alexnet_benchmark.main(sys.argv[1:]))'

# The parts in their order, the most valuable first: its name, its limit in seconds, its command. `expect 3 TEXT` is for a
# part that should end with exit code 3 and print TEXT.
programme() {
    local run=(python -m suite run)
    part doctor               60 python -m suite doctor
    part smoke               120 python alexnet_benchmark.py --num_batches 3 --num_steps_burn_in 1 --forward_only "${flags[@]}"
    part chapter             400 "${run[@]}" --protocol chapter --output "$folder" "${flags[@]}"
    part chapter-ops         400 "${run[@]}" --protocol chapter --output "$folder" --fetch ops "${flags[@]}"
    expect 1 'INVALID: Forward: not finite: conv1' \
    part nan                  90 python -c "$nan" --num_batches 3 "${flags[@]}"
    expect 3 'The largest power of two worth trying: --batch_size' \
    part does-not-fit         90 python alexnet_benchmark.py "${flags[@]}" --batch_size 262144
    part profile-alexnet      90 python alexnet_benchmark.py --profile --json "$folder/profile/alexnet.json" "${flags[@]}"
    part profile-vgg16        90 python vgg16_benchmark.py --profile --json "$folder/profile/vgg16.json" "${flags[@]}"
    part profile-inception   120 python inception_v3_benchmark.py --profile --json "$folder/profile/inception_v3.json" "${flags[@]}"
    part profile-resnet      180 python resnet_v2_benchmark.py --profile --json "$folder/profile/resnet_v2.json" "${flags[@]}"
    part variants-alexnet    150 "${run[@]}" --protocol chapter --output "$folder" --variants --only alexnet "${flags[@]}"
    part variants-resnet     300 "${run[@]}" --protocol chapter --output "$folder" --variants --only resnet_v2 "${flags[@]}"
    part variants-vgg        300 "${run[@]}" --protocol chapter --output "$folder" --variants --only vgg16 "${flags[@]}"
    part tf32                400 "${run[@]}" --protocol chapter --output "$folder/tf32" --precision tf32 "${flags[@]}"
    part mixed               400 "${run[@]}" --protocol chapter --output "$folder/mixed" --precision mixed "${flags[@]}"
    part xla-alexnet         200 "${run[@]}" --protocol chapter --output "$folder/xla" --xla --only alexnet "${flags[@]}"
    part xla-resnet-50       200 python resnet_v2_benchmark.py --depth 50 --xla --json "$folder/xla/resnet_v2-50.json" "${flags[@]}"
    part sweep-vgg           200 "${run[@]}" --num_batches 10 --output "$folder/sweep" --sweep --only vgg16 "${sweep_flags[@]}"
    part sweep-resnet        400 "${run[@]}" --num_batches 10 --output "$folder/sweep" --sweep --only resnet_v2 "${sweep_flags[@]}"
    part peers-alexnet       500 python -m suite peers --only alexnet --json "$folder/peers/peers-alexnet.json" "${peers_flags[@]}"
    part peers-vgg           700 python -m suite peers --only vgg16 --json "$folder/peers/peers-vgg16.json" "${peers_flags[@]}"
}

# Give the part that follows another expected exit code, and a text that it should print.
expect() { local expected=$1 text=$2; shift 2; "$@"; }

# Run a command, unless it ended as expected in an earlier call, and note how it ended.
part() {
    local name=$1 limit=$2 start=$SECONDS left=$((LIMIT_S - SECONDS)) log=$folder/logs/$1.txt code outcome
    shift 2
    names+=("$name")
    if [ "$(outcome_of "$name")" = 'as expected' ]; then
        echo "$name: as expected in an earlier call"
        return
    fi
    [ "$left" -gt 0 ] || return
    [ "$left" -ge "$limit" ] || limit=$left
    printf '%s: at most %d s, see %s ... ' "$name" "$limit" "$log"
    # In a session of its own, so that Ctrl-C reaches it once, from stop(), as SIGTERM.
    setsid timeout --foreground --kill-after=20 "$limit" "$@" >"$log" 2>&1 </dev/null &
    running=$!
    wait "$running"
    code=$? running=
    outcome='as expected'
    if [ "$code" = 124 ] || [ "$code" = 137 ]; then
        outcome="ended at its limit of $limit s"
    elif [ "$code" != "${expected:-0}" ]; then
        outcome="should end with ${expected:-0}"
    elif [ -n "${text-}" ] && ! grep -qF -- "$text" "$log"; then
        outcome="does not print '$text'"
    fi
    printf '%-20s %4d %6d  %s\n' "$name" "$code" $((SECONDS - start)) "$outcome" >>"$parts"
    echo "$outcome"
    [ "$outcome" = 'as expected' ] || tail -n 1 "$log" | sed 's/^/    /'
}

# How a part ended the last time; nothing if it has not run.
outcome_of() { awk -v name="$1" '$1 == name { line = $0 } END { sub(/^[^ ]+ +[^ ]+ +[^ ]+ +/, "", line); print line }' "$parts"; }

# The flags of the rehearsal without one of them and its value, in the array `kept`.
without() {
    local i
    kept=()
    for ((i = 0; i < ${#flags[@]}; i++)); do
        if [ "${flags[i]}" = "$1" ]; then i=$((i + 1)); else kept+=("${flags[i]}"); fi
    done
}

# The last line of each part. Returns 1 if one did not end as expected.
summary() {
    local name all=0
    printf '\n%-20s %4s %6s  %s\n' part exit s outcome
    for name in "${names[@]}"; do
        if [ -n "$(outcome_of "$name")" ]; then
            awk -v name="$name" '$1 == name { line = $0 } END { print line }' "$parts"
        else
            printf '%-20s %4s %6s  %s\n' "$name" - - 'not run: no time left'
        fi
        [ "$(outcome_of "$name")" = 'as expected' ] || all=1
    done
    [ "$all" = 0 ] || echo 'To run what did not end as expected: the same command again.'
    return "$all"
}

# End the part that runs, which keeps what it has measured, and then this script.
# shellcheck disable=SC2317    # the trap calls it
stop() {
    trap '' INT TERM HUP
    if [ -n "$running" ]; then kill -TERM "$running" 2>/dev/null; wait "$running"; fi
    printf '\nInterrupted. To continue: the same command again.\n' >&2
    exit 130
}

main() {
    if [ $# = 0 ] || [ "${1#-}" != "$1" ]; then
        echo 'usage: bash tools/gpu_programme.sh FOLDER [flags of a rehearsal, such as --device cpu --batch_size 1]' >&2
        exit 2
    fi
    command -v python >/dev/null || {
        echo 'There is no python on PATH: activate an environment, such as . .venv-modern/bin/activate' >&2
        exit 3
    }
    mkdir -p "$1/logs" "$1/profile" "$1/xla" "$1/peers" || exit 2
    folder=$(cd "$1" && pwd)
    shift
    cd "$(dirname "$0")/.." || exit 2
    flags=("$@")
    without --batch_size; sweep_flags=("${kept[@]}")     # a sweep has its own batch sizes, and the
    without --num_batches; peers_flags=("${kept[@]}")    # steps of peers are a multiple of 80
    LIMIT_S=${LIMIT_S:-1500} parts=$folder/programme.txt names=() running=

    local heading="# bash tools/gpu_programme.sh FOLDER${flags[*]:+ ${flags[*]}}"
    [ -s "$parts" ] || echo "$heading" >"$parts" || exit 2
    if [ "$(head -n 1 "$parts")" != "$heading" ]; then
        echo "$parts is of another command ($(head -n 1 "$parts")): name another folder." >&2
        exit 2
    fi
    trap stop INT TERM HUP
    programme
    summary
}

main "$@"; exit          # in one line: bash then reads no more of this file, should it change meanwhile
