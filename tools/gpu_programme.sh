#!/bin/bash
# Measure, on one NVIDIA GPU and with the `python` on PATH, all that this project can say of that GPU.
#
#     bash tools/gpu_programme.sh FOLDER                                  such as results/h100; 25 minutes at most
#     LIMIT_S=480 bash tools/gpu_programme.sh FOLDER                      8 minutes: what is worth most
#     bash tools/gpu_programme.sh FOLDER --device cpu --batch_size 1      a rehearsal: these flags go to every run
#
# The records directly in FOLDER follow the chapter's protocol: if FOLDER is in results/, `python -m suite docs` makes them a
# column of README's table. FOLDER/logs/ has what each part prints, FOLDER/programme.txt how it ended. A part that fails or
# reaches its time limit does not stop the others. The same command again runs the parts that have not ended as expected.
#
# Exit codes: 0 all parts ended as expected; 1 some did not, or no time was left; 2 bad usage; 130 interrupted.
set -u
stop() { echo "$1" >&2; exit 2; }
[[ $# -gt 0 && $1 != -* ]] || stop 'usage: bash tools/gpu_programme.sh FOLDER [flags of a rehearsal, such as --device cpu]'
command -v python >/dev/null || stop 'No python is on PATH: activate an environment, such as . .venv-modern/bin/activate'
mkdir -p "$1"/{logs,profile,xla,peers} || exit 2
folder=$(cd "$1" && pwd) parts=$folder/programme.txt running='' failed=0 LIMIT_S=${LIMIT_S:-1500}
cd -P "$(dirname "$0")/.." || exit 2
shift
[ -s "$parts" ] || echo "flags: $*" >"$parts" || exit 2
[ "$(head -n 1 "$parts")" = "flags: $*" ] || stop "$parts belongs to a call with other $(head -n 1 "$parts"): name another folder"

# part NAME LIMIT_S EXIT_CODE COMMAND...: run a command unless it has ended as expected before, and note how it ended.
part() {
    local name=$1 limit=$2 expected=$3 log=$folder/logs/$1.txt left=$((LIMIT_S - SECONDS)) start=$SECONDS code how
    shift 3
    if grep -qs "^$name .* as expected$" "$parts"; then return; fi
    [ "$left" -ge "$limit" ] || limit=$left
    if [ "$limit" -le 0 ]; then
        printf '%-18s not run: no time left\n' "$name"; failed=1; return
    fi
    # In a session of its own, so that Ctrl-C reaches it once, from the trap below.
    setsid timeout --foreground --kill-after=20 "$limit" "$@" >"$log" 2>&1 </dev/null &
    running=$!
    wait "$running"
    code=$? running='' how='as expected'
    [ "$code" = "$expected" ] || { how="should end with $expected: $(tail -n 1 "$log")"; failed=1; }
    [ "$code" != 124 ] && [ "$code" != 137 ] || how="ended at its limit of $limit s"
    printf '%-18s exit code %3d after %3d s: %s\n' "$name" "$code" $((SECONDS - start)) "$how" | tee -a "$parts"
}
trap 'trap "" INT TERM HUP; [ -z "$running" ] || { kill "$running"; wait "$running"; }; exit 130' INT TERM HUP

# AlexNet with weights that are NaN: the check must find them, although a ReLU and a max_pool may hide them.
nan='
import sys, alexnet_benchmark
from common.tf1 import tf
tf.global_variables_initializer = lambda: [
    variable.assign(tf.fill(variable.shape, float("nan"))) if "weights" in variable.op.name
    else variable.initializer for variable in tf.global_variables()]
sys.exit(alexnet_benchmark.main(sys.argv[1:]))'
# The medians of NVML in the record of a run, and those of nvidia-smi meanwhile.
# shellcheck disable=SC2016
nvml='
trap "kill \$(jobs -p) 2>/dev/null" EXIT
nvidia-smi --query-gpu=clocks.sm,power.draw,temperature.gpu --format=csv,noheader,nounits -lms 200 >"$0.csv" &
python vgg16_benchmark.py --num_batches 500 --forward_only --json "$0.json" "$@" &
wait $! && python -c "
import csv, json, statistics, sys
rows = [list(map(float, row)) for row in csv.reader(open(sys.argv[1] + \".csv\"))]
print(\"nvidia-smi, MHz, W, C:\", *map(statistics.median, zip(*rows)))
print(\"NVML:\", json.load(open(sys.argv[1] + \".json\"))[\"results\"][0][\"gpu\"])" "$0"'
suite() { local name=$1 limit=$2; shift 2; part "$name" "$limit" 0 python -m suite run --protocol chapter "$@" "${flags[@]}"; }
script() { local name=$1 limit=$2; shift 2; part "$name" "$limit" 0 python "$@" "${flags[@]}"; }
peers() { part "$1" "$2" 0 python -m suite peers --only "${@:3}" --json "$folder/peers/$1.json" "${no_steps[@]}"; }
sweep() { part "$1" "$2" 0 python -m suite run --sweep --num_batches 10 --output "$folder/sweep" --only "$3" "${no_batch[@]}"; }

# The flags of a rehearsal; a sweep has its own batch sizes, and the steps of peers are a multiple of 80.
flags=("$@") no_batch=() no_steps=()
while [ $# -gt 0 ]; do
    [ "$1" = --batch_size ] || no_batch+=("$1" "$2")
    [ "$1" = --num_batches ] || no_steps+=("$1" "$2")
    shift 2
done

# The most valuable first: what LIMIT_S=480 leaves time for.
part   doctor               30 0 python -m suite doctor
suite  chapter             100 --output "$folder"
suite  chapter-ops         100 --output "$folder" --fetch ops
part   nan                  60 1 python -c "$nan" --num_batches 3 "${flags[@]}"
peers  alexnet-pytorch     130 alexnet --peers torchvision
peers  vgg16-pytorch       130 vgg16 --peers torchvision
# As long as time is left.
part   does-not-fit         60 3 python alexnet_benchmark.py "${flags[@]}" --batch_size 262144
batch=$(grep -os -- '--batch_size [0-9]*' "$folder/logs/does-not-fit.txt" | tail -n 1 | tr -dc 0-9)
part   advised-batch        90 0 python alexnet_benchmark.py --num_steps_burn_in 1 "${flags[@]}" --num_batches 1 --batch_size "${batch:-0}"
for network in alexnet vgg16 inception_v3 resnet_v2; do
    script "profile-$network" 120 "${network}_benchmark.py" --profile --json "$folder/profile/$network.json"
done
suite  tf32                200 --output "$folder/tf32" --precision tf32
suite  mixed               200 --output "$folder/mixed" --precision mixed
suite  xla                 200 --output "$folder/xla" --xla --only alexnet
script xla-resnet-50       120 resnet_v2_benchmark.py --depth 50 --xla --json "$folder/xla/resnet_v2-50.json"
sweep  sweep-vgg16         120 vgg16
sweep  sweep-resnet_v2     200 resnet_v2
for network in alexnet vgg16 inception_v3 resnet_v2; do
    peers "peers-$network" 400 "$network"
done
part   horovod-nccl        120 0 horovodrun -np 1 python alexnet_benchmark.py --json "$folder/horovod.json" "${flags[@]}"
part   harness-cost         60 0 python -m tools.harness_cost
part   nvml                 90 0 bash -c "$nvml" "$folder/logs/nvml" "${flags[@]}"
suite  variants            300 --output "$folder" --variants
exit "$failed"
