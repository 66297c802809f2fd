#!/bin/sh
# Print the path of a Python 3.7 that runs; fetch one into .python37/ if this machine has none.
#
# TensorFlow 1.15 has no wheels for any later Python, and today's systems come without 3.7. The path goes to stdout,
# everything said to a person to stderr. PYTHON37=/path/to/python3.7 takes that one and searches no further.
set -eu

cd "$(dirname "$0")/.."
fetched=$PWD/.python37
HOME=${HOME:-/}     # a container may have none
uv='uv==0.6.17'     # of the last series that can install CPython 3.7
tried=

say() { printf '%s\n' "$*" >&2; }

note() {            # note TEXT: a line for the list of what was tried
    tried="$tried
  $1"
}

stop() {            # stop TEXT...: say it, a line each, and give up
    printf '%s\n' "$@" >&2
    exit 1
}

# Says on stderr why this Python will not do, else prints where it really is.
probe='
import sys
if sys.version_info[:2] != (3, 7):
    sys.exit("is Python %d.%d" % sys.version_info[:2])
if sys.maxsize < 2 ** 32:
    sys.exit("is a 32-bit build")
try:
    import ssl, venv, ensurepip
except ImportError as error:
    sys.exit("%s (on Debian and Ubuntu: apt-get install python3.7-venv)" % error)
print(sys.executable)
'

# try PATH WHERE: if PATH is a Python 3.7 that runs, print it and end. Being there is not enough: pyenv puts a
# python3.7 on PATH that refuses to run while another version is chosen.
try() {
    [ -x "$1" ] || return 0
    if path=$("$1" -c "$probe" 2>/dev/null </dev/null); then
        say "Python 3.7: $path ($2)"
        printf '%s\n' "$path"
        exit 0
    fi
    note "$2: $1: $("$1" -c "$probe" 2>&1 </dev/null | head -n 1)"
}

look_around() {
    for python in "$fetched"/*/bin/python3.7; do try "$python" 'fetched before'; done

    save=$IFS
    IFS=:
    for dir in $PATH; do try "$dir/python3.7" PATH; done
    IFS=$save
    for name in python3 python; do try "$(command -v $name || :)" PATH; done

    for python in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.7*/bin/python3.7; do try "$python" pyenv; done

    for base in "${CONDA_PREFIX:-}" "$HOME"/miniconda3 "$HOME"/anaconda3 "$HOME"/miniforge3 "$HOME"/mambaforge \
            "$HOME"/micromamba "$HOME"/.conda /opt/conda /opt/miniconda3; do
        for python in "$base"/bin/python3.7 "$base"/envs/*/bin/python3.7; do
            [ -z "$base" ] || try "$python" conda
        done
    done
    if [ -r "$HOME/.conda/environments.txt" ]; then     # where conda lists the environments kept elsewhere
        while read -r prefix; do try "$prefix/bin/python3.7" conda; done <"$HOME/.conda/environments.txt"
    fi

    for python in "$HOME"/.local/share/uv/python/cpython-3.7*/bin/python3.7; do try "$python" uv; done
}

# end_of LOG: its last lines, each on a line of its own, for the list of what was tried.
end_of() {
    echo
    tail -n 6 "$1" | sed 's/^/      /'
}

fetch_with_uv() {
    python=$(command -v python3 || command -v python) || { note 'fetching with uv: no python3 on PATH'; return 0; }
    say "No Python 3.7 here: fetching CPython 3.7.9 into .python37 with $uv ..."
    rm -rf "$fetched"
    mkdir "$fetched"
    log=$fetched/uv.log
    # A Debian python3 without python3-venv cannot make a venv, but may have pip.
    if  { { "$python" -m venv "$fetched/tool" && "$fetched/tool/bin/python" -m pip install -q "$uv"; } ||
          "$python" -m pip install -q --target "$fetched/tool" "$uv"; } >"$log" 2>&1 </dev/null
    then
        if UV_PYTHON_INSTALL_DIR=$fetched "$fetched/tool/bin/uv" --no-config python install 3.7.9 >"$log" 2>&1 </dev/null
        then
            rm -rf "$fetched/tool" "$log"
            for python in "$fetched"/cpython-3.7*/bin/python3.7; do try "$python" 'fetched now'; done
            note "fetching with uv: it installed no Python 3.7 that runs"
        else
            note "fetching with uv: $(end_of "$log")"
        fi
    else
        note "fetching with uv: $python could not install uv: $(end_of "$log")"
    fi
    rm -rf "$fetched"
}

fetch_with_conda() {
    conda=$(command -v conda || command -v mamba || command -v micromamba) ||
        { note 'fetching with conda: no conda, mamba or micromamba on PATH'; return 0; }
    say "Fetching Python 3.7 into .python37 with $conda ..."
    rm -rf "$fetched"
    mkdir "$fetched"
    if "$conda" create -y -q -p "$fetched/conda" --override-channels -c conda-forge python=3.7 \
            >"$fetched/conda.log" 2>&1 </dev/null
    then
        try "$fetched/conda/bin/python3.7" 'fetched now'
        note "fetching with conda: it installed no Python 3.7 that runs"
    else
        note "fetching with conda: $(end_of "$fetched/conda.log")"
    fi
    rm -rf "$fetched"
}

machine="$(uname -s) $(uname -m)"
[ "$machine" = 'Linux x86_64' ] || stop \
    "tensorflow-gpu 1.15 has wheels for x86-64 Linux only (and Windows, where make is no help); this is $machine." \
    'Use an x86-64 Linux machine, or a container or virtual machine of that kind.'

if [ "${PYTHON37:-}" ]; then
    command=$(command -v "$PYTHON37") || stop "PYTHON37=$PYTHON37 is not a program that can be run."
    try "$command" PYTHON37
    stop "PYTHON37=$PYTHON37 will not do:$tried"
fi

look_around
fetch_with_uv
fetch_with_conda
stop 'No Python 3.7 found, and TensorFlow 1.15 runs on no later one. Tried:' "${tried#?}" \
    'Do one of these, then give the same command again:' \
    '  pyenv install 3.7.17' \
    '  conda create -n python37 -c conda-forge python=3.7' \
    '  apt-get install python3-venv, if the fetching failed for want of it' \
    '  name one that you have: PYTHON37=/path/to/python3.7 make test'
