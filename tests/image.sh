#!/usr/bin/env bash
# Build the image with buildah and run it with podman, without a registry and without a GPU (`make test-image`).
#
#     image.sh [modern] [classic]      without words: both
#
# Debian, made by mmdebstrap, stands in for nvidia/cuda. The modern image gets the lock without CUDA. For the classic one,
# a script stands in for micromamba; its Python 3.7 is that of `make test`, without CUDA 10.0. All else is as users get it.
# Everything is in a folder of its own, which is removed at the end, so that several of these can run at once. Only
# Debian is kept for the next time: remove ~/.cache/cnn-benchmark/debian-*.tar to get today's.
# Exit code: 0 all is well, 1 it is not, 3 the image cannot be tested on this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }
not_tested() {
    say "The image is not tested: $*"
    exit 3
}
USER_ID=54321                                            # has no entry in the image
COMMIT=0123456789abcdef0123456789abcdef01234567
FREE_GB=10                                               # 7 are used at once
DEBIAN=(--variant=apt '--include=ca-certificates libffi8 libreadline8t64 libsqlite3-0' trixie)
UNREACHABLE='Failed to fetch|connection broken|ReadTimeout|IncompleteRead|HTTP error|No matching distribution found'

for tool in buildah podman runc mmdebstrap python3; do
    command -v "$tool" >/dev/null \
        || not_tested "$tool is missing (on Debian: apt-get install buildah podman runc mmdebstrap python3)."
done
[ "$(id -u)" = 0 ] || not_tested 'it needs root, to make folders of another user.'
own=$(mktemp -d /var/tmp/cnn-benchmark.XXXXXX)           # /tmp may be in memory, which is too small
[ "$(df --output=avail -BG "$own" | tr -dc 0-9)" -ge $FREE_GB ] || {
    rmdir "$own"
    not_tested "/var/tmp has less than $FREE_GB GB left."
}
store=(--root "$own/store" --runroot "$own/run" --storage-driver overlay)
podman() { command podman --runtime runc --cgroup-manager=cgroupfs "${store[@]}" "$@"; }
# No run takes a minute on an idle machine.
run=(run --timeout 900 --network none --ulimit nofile=20000:20000 --ulimit nproc=32768:32768)

clean_up() {
    podman rm --all --force --time 0
    buildah "${store[@]}" rm --all
    awk -v own="$own/" 'index($2, own) == 1 { print $2 }' /proc/mounts | tac | xargs --no-run-if-empty umount --lazy
    rm -rf "$own"
} >/dev/null 2>&1
trap 'clean_up || :' EXIT
trap 'exit 130' INT
chmod 755 "$own"
export TMPDIR=$own

build() {
    timeout --foreground 45m buildah "${store[@]}" bud --isolation chroot --format docker --network host "$@" \
        >"$own/build.log" 2>&1
}

# Debian with what nvidia/cuda sets. Where this machine's pip needs a certificate or an index of its own, so does the
# image's.
make_base() {
    local kept
    kept=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/cnn-benchmark/debian-$(md5sum <<<"${DEBIAN[*]}" | cut -c 1-8).tar
    if [ ! -e "$kept" ]; then
        mkdir -p "$(dirname "$kept")"
        mmdebstrap --quiet "${DEBIAN[@]}" "$own/base.tar" || not_tested 'mmdebstrap could not make Debian, see above.'
        mv "$own/base.tar" "$kept.$$"
        mv "$kept.$$" "$kept"
    fi
    cp "$kept" "$own/base.tar"
    cp "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$own/certificates.crt" \
        || not_tested 'there are no certificates (on Debian: apt-get install ca-certificates).'
    cat >"$own/Containerfile" <<END
FROM scratch
ADD base.tar /
COPY certificates.crt /etc/pip-certificates.crt
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CUDA_VERSION=12.9.1 DEBIAN_FRONTEND=noninteractive \
    PIP_CERT=/etc/pip-certificates.crt PIP_ROOT_USER_ACTION=ignore
RUN mkdir -p /usr/local/cuda-12.9/compat && ln -s cuda-12.9 /usr/local/cuda
${PIP_INDEX_URL:+ENV PIP_INDEX_URL=$PIP_INDEX_URL}
END
    if ! { build -t localhost/base -f "$own/Containerfile" "$own" && podman "${run[@]}" --rm localhost/base true; }; then
        cat "$own/build.log" >&2
        not_tested 'buildah and podman do not start a container here, see above.'
    fi
    rm "$own/base.tar"
}

make_conda() {
    local python prefix
    python=$(python3 -c 'from tools import environment; print(environment.find_python37())') \
        || not_tested 'there is no Python 3.7 for the classic image, see above.'
    prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
    (cd "$prefix" && shopt -s nullglob && tar -czf "$own/python.tgz" --exclude=__pycache__ --exclude=site-packages \
        --exclude=test --exclude='config-*' bin/python3.7 lib/python3.7 lib/*.so*)
    printf '%s\n' '#!/bin/sh' "[ \"\$1\" != install ] || /opt/conda/bin/python -m ensurepip" >"$own/micromamba"
    chmod 755 "$own/micromamba"
    # A Python of pyenv has a library, and looks for it where it was built.
    cat >"$own/Containerfile" <<END
FROM localhost/base
ADD python.tgz /opt/conda/
COPY micromamba /usr/local/bin/
RUN ln -s python3.7 /opt/conda/bin/python \
    && echo /opt/conda/lib >/etc/ld.so.conf.d/conda.conf && ldconfig \
    && /opt/conda/bin/python -c 'import ctypes, ensurepip, ssl'
END
    build -t localhost/conda -f "$own/Containerfile" "$own" || {
        cat "$own/build.log" >&2
        not_tested "$python does not run on Debian, see above."
    }
}

# $1 exit code, $2 an expression that must be in the output; then the words of podman run. Prints
# and counts what does not hold.
failures=0
expect() {
    local code=0 output
    output=$(podman "${run[@]}" --rm "${@:3}" 2>&1) || code=$?
    if [ "$code" = "$1" ] && grep -Eq -- "$2" <<<"$output"; then
        say "    ok: $(head -n 1 <<<"${*:3}")"
    else
        say "FAILED: ${*:3}" "(exit code $code, not $1, or no '$2')" "$output"
        failures=$((failures + 1))
    fi
}
check() {
    if "${@:2}"; then say "    ok: $1"; else say "FAILED: $1"; failures=$((failures + 1)); fi
}

# What a record in a folder says, as the value of an expression: `read_record FOLDER 'log["status"]'`.
read_record() {
    python3 -c 'import glob, json, sys
path, = glob.glob(sys.argv[1] + "/**/*.json", recursive=True)
log = json.load(open(path))
print(eval(sys.argv[2]))' "$@"
}

stop_in_mid_run() {
    local folder=$own/stopped code=0
    mkdir "$folder"
    chown $USER_ID:$USER_ID "$folder"
    podman "${run[@]}" -d --name stopped --user $USER_ID:$USER_ID -v "$folder:/results" "$1" \
        alexnet --num_batches 1000000 >/dev/null
    until grep -q 'step 10,' <<<"$(podman logs stopped 2>&1)" \
        || [ "$(podman inspect -f '{{.State.Status}}' stopped)" != running ]; do
        sleep 1
    done
    podman stop -t 300 stopped >/dev/null
    code=$(podman inspect -f '{{.State.ExitCode}}' stopped)
    [ "$code" = 130 ] || podman logs stopped >&2
    podman rm stopped >/dev/null
    check "stop in mid-run ends with 130 (it was $code)" [ "$code" = 130 ]
    check 'its record is kept' [ "$(read_record "$folder" 'log["status"]')" = interrupted ]
}

# $1 the image, $2 the CUDA version that its records name.
try() {
    local image=localhost/$1 folder=$own/results
    rm -rf "$own/results" "$own/stopped" "$own/foreign"
    mkdir "$folder" "$own/foreign"
    chown $USER_ID:$USER_ID "$folder"
    expect 0 'docker run --rm --gpus all IMAGE' "$image" --help
    expect 2 "Unknown benchmark 'nonsense'" "$image" nonsense
    expect 3 '--user' -v "$own/foreign:/results" "$image"
    expect 3 'add --tmpfs /tmp' --read-only --read-only-tmpfs=false "$image" alexnet
    expect 0 'a quick run on the CPU' --read-only --tmpfs /tmp --user $USER_ID:$USER_ID -v "$folder:/results" \
        "$image" alexnet --batch_size 2
    check 'the record belongs to the user' [ "$(find "$folder" -name 'alexnet*.json' -uid $USER_ID | wc -l)" = 1 ]
    check 'it names the commit' [ "$(read_record "$folder" 'log["environment"]["commit"]')" = $COMMIT ]
    check "it names CUDA $2" \
        [ "$(read_record "$folder" 'log["environment"]["variables"]["CUDA_VERSION"]')" = "$2" ]
    rm -rf "${folder:?}"/*
    expect 0 'Protocol: quick' --user $USER_ID:$USER_ID -v "$folder:/results" "$image" --only vgg16 --batch_size 2
    check 'the suite leaves a record' [ "$(read_record "$folder" 'log["status"]')" = finished ]
    stop_in_mid_run "$image"
    # shellcheck disable=SC2016  # for the shell in the image
    expect 0 '^clean$' --user 0 --entrypoint sh "$image" -c '
        set -eu
        for tool in cc gcc g++ nvcc; do ! command -v "$tool" || exit 1; done
        for folder in /root/.cache /tmp/.cache /usr/local/cuda/compat; do [ ! -e "$folder" ] || exit 1; done
        [ -z "$(find /app ! -type l ! -perm 644 ! -perm 755 -print)" ]
        [ -z "$(find /app -name tests -o -name __pycache__)" ]
        echo clean'
}

# $1 the image, then words of buildah.
build_image() {
    say "Building the $1 image ..."
    build -f Dockerfile.cuda -t "localhost/$1" --build-arg IMAGE="$1" --build-arg "BENCHMARK_COMMIT=$COMMIT" \
        --build-arg CUDA_IMAGE=localhost/base --build-arg DEVEL_IMAGE=localhost/base "${@:2}" . && return
    tail -n 40 "$own/build.log" >&2
    ! grep -Eq "$UNREACHABLE" "$own/build.log" || not_tested 'packages could not be downloaded, see above.'
    say "FAILED: the $1 image cannot be built, see above."
    failures=$((failures + 1))
    return 1
}

make_base
[ $# != 0 ] || set -- modern classic
for image; do
    if [ "$image" = modern ]; then
        ! build_image modern --build-arg CUDA_LOCK=requirements/modern.lock || try modern 12.9.79
    else
        make_conda
        if build_image classic --build-arg MICROMAMBA_IMAGE=localhost/conda; then
            try classic 10.0.130
            expect 0 '^clean$' --entrypoint sh localhost/classic -c \
                '! python -c "import pytest" 2>/dev/null && ! command -v ruff hadolint && echo clean'
        fi
    fi
done
if [ "$failures" != 0 ]; then
    say "$failures checks of the image failed."
    exit 1
fi
say 'All checks of the image passed.'
