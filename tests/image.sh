#!/usr/bin/env bash
# Build the image with buildah and run it with podman, without a registry and without a GPU (`make test-image`).
#
#     image.sh [modern] [classic]      without words: both
#
# Debian, made by mmdebstrap, stands in for nvidia/cuda; it is kept, and made again after
# `buildah rmi localhost/cnn-benchmark-base`. The modern image gets the lock without CUDA. For the classic one, a script
# stands in for micromamba, which unpacks the Python 3.7 of `make test`, without CUDA 10.0. All else is as users get it.
# Exit code: 0 all is well, 1 it is not, 3 buildah, podman or mmdebstrap is missing or does not start.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }
run=(podman --runtime runc --cgroup-manager=cgroupfs run --network none --ulimit nofile=20000:20000
     --ulimit nproc=32768:32768)
PREFIX=localhost/cnn-benchmark
USER_ID=54321                                            # has no entry in the image
COMMIT=0123456789abcdef0123456789abcdef01234567

for tool in buildah podman runc mmdebstrap; do
    command -v "$tool" >/dev/null || {
        say "The image is not tested: $tool is missing (on Debian: apt-get install buildah podman runc mmdebstrap)."
        exit 3
    }
done
own=$(mktemp -d)
trap 'podman rm -f -t 0 cnn-benchmark-test >/dev/null 2>&1 || :; rm -rf "$own"' EXIT
chmod 755 "$own"

build() { buildah bud --isolation chroot --format docker --network host --layers --quiet "$@" >&2; }

# Debian with what nvidia/cuda sets. Where this machine's pip needs a certificate or an index of its own, so does the
# image's.
make_base() {
    mmdebstrap --quiet --variant=apt --include=ca-certificates,libffi8,libreadline8t64,libsqlite3-0 \
        trixie "$own/base.tar" || return 3
    cp "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$own/certificates.crt"
    cat >"$own/Containerfile" <<END
FROM scratch
ADD base.tar /
COPY certificates.crt /etc/pip-certificates.crt
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CUDA_VERSION=12.9.1 DEBIAN_FRONTEND=noninteractive \
    PIP_CERT=/etc/pip-certificates.crt PIP_ROOT_USER_ACTION=ignore
RUN mkdir -p /usr/local/cuda-12.9/compat && ln -s cuda-12.9 /usr/local/cuda
${PIP_INDEX_URL:+ENV PIP_INDEX_URL=$PIP_INDEX_URL}
END
    build -t $PREFIX-base -f "$own/Containerfile" "$own"
    rm "$own/base.tar"
}

make_conda() {
    local python
    python=$(RUNTIME=classic python3 tools/environment.py test)/bin/python
    tar -czf "$own/python.tgz" --exclude=__pycache__ --exclude=site-packages --exclude=test \
        -C "$("$python" -c 'import sys; print(sys.base_prefix)')" .
    cat >"$own/micromamba" <<'END'
#!/bin/sh
set -eu
[ "$1" = install ] || exit 0
mkdir -p /opt/conda
tar -xzf /opt/python.tgz --no-same-owner -C /opt/conda
ln -sf python3.7 /opt/conda/bin/python
echo /opt/conda/lib >/etc/ld.so.conf.d/conda.conf        # a Python of pyenv has a library
ldconfig
/opt/conda/bin/python -m ensurepip
END
    chmod 755 "$own/micromamba"
    cat >"$own/Containerfile" <<END
FROM $PREFIX-base
COPY python.tgz /opt/
COPY micromamba /usr/local/bin/
END
    build -t $PREFIX-conda -f "$own/Containerfile" "$own"
}

# $1 exit code, $2 an expression that must be in the output; then the words of podman run. What does not hold is said
# and counted.
failures=0
expect() {
    local code=0 output
    output=$("${run[@]}" --rm "${@:3}" 2>&1) || code=$?
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
    "${run[@]}" -d --name cnn-benchmark-test --user $USER_ID:$USER_ID -v "$folder:/results" "$1" \
        alexnet --num_batches 1000000 >/dev/null
    for ((i = 0; i < 120; i++)); do
        ! podman logs cnn-benchmark-test 2>&1 | grep -q 'step 10,' || break
        sleep 1
    done
    podman stop -t 60 cnn-benchmark-test >/dev/null
    code=$(podman inspect -f '{{.State.ExitCode}}' cnn-benchmark-test)
    [ "$code" = 130 ] || podman logs cnn-benchmark-test >&2
    podman rm cnn-benchmark-test >/dev/null
    check "stop in mid-run ends with 130 (it was $code)" [ "$code" = 130 ]
    check 'its record is kept' [ "$(read_record "$folder" 'log["status"]')" = interrupted ]
}

# $1 the image, $2 the CUDA version that its records name.
try() {
    local image=$PREFIX:$1 folder=$own/results
    rm -rf "$own/results" "$own/stopped" "$own/foreign"
    mkdir "$folder" "$own/foreign"
    chown $USER_ID:$USER_ID "$folder"
    expect 0 'docker run --rm --gpus all IMAGE' "$image" --help
    expect 2 "Unknown benchmark 'nonsense'" "$image" nonsense
    expect 3 '--user' -v "$own/foreign:/results" "$image"
    expect 3 'add --tmpfs /tmp' --read-only --read-only-tmpfs=false "$image" alexnet
    expect 0 'a quick run on the CPU' --read-only --tmpfs /tmp --user $USER_ID:$USER_ID -v "$folder:/results" \
        "$image" alexnet
    check 'the record belongs to the user' [ "$(find "$folder" -name 'alexnet*.json' -uid $USER_ID | wc -l)" = 1 ]
    check 'it names the commit' [ "$(read_record "$folder" 'log["environment"]["commit"]')" = $COMMIT ]
    check "it names CUDA $2" \
        [ "$(read_record "$folder" 'log["environment"]["variables"]["CUDA_VERSION"]')" = "$2" ]
    rm -rf "${folder:?}"/*
    expect 0 'Protocol: quick' --user $USER_ID:$USER_ID -v "$folder:/results" "$image" --only vgg16
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

podman image exists $PREFIX-base || make_base
[ $# != 0 ] || set -- modern classic
for image; do
    say "Building the $image image ..."
    arguments=(-f Dockerfile.cuda -t "$PREFIX:$image" --build-arg IMAGE="$image" --build-arg "BENCHMARK_COMMIT=$COMMIT"
               --build-arg "CUDA_IMAGE=$PREFIX-base" --build-arg "DEVEL_IMAGE=$PREFIX-base")
    if [ "$image" = modern ]; then
        build "${arguments[@]}" --build-arg MODERN_LOCK=requirements/modern-cpu.lock .
        try modern 12.9.79
    else
        make_conda
        build "${arguments[@]}" --build-arg MICROMAMBA_IMAGE=$PREFIX-conda .
        try classic 10.0.130
        expect 0 '^clean$' --entrypoint sh "$PREFIX:classic" -c \
            '! python -c "import pytest" 2>/dev/null && ! command -v ruff hadolint && echo clean'
    fi
done
if [ "$failures" != 0 ]; then
    say "$failures checks of the image failed."
    exit 1
fi
say 'The image is as it should be.'
