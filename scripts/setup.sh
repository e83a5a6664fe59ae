#!/usr/bin/env bash
# Prepares this checkout for `make demo` and `make test`: system libraries, .venv, and for the extension's test the
# other Blenders it must work in: 4.2 in .venv-42, 4.5 in .venv-45, and (if there is a Python 3.13 beside a 3.11) 5.2
# in .venv-313, 1 GB each.  Run it through `make setup`, which skips it when nothing has changed since the last time.
#
#   PYTHON=/path/to/python3.11   use this interpreter (3.11 or 3.13)
#   FARPLANE_NO_APT=1            never call apt, only say what is missing
#   FARPLANE_ONE_BLENDER=1       do without the other Blenders; their tests are skipped
#   PIP_…                        pip's own settings are honoured, e.g. PIP_EXTRA_INDEX_URL for PyTorch's CPU wheels
set -euo pipefail
cd "$(dirname "$0")/.."

# What bpy and its software renderer (EGL) are linked against.
LIBRARIES=(libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libgl1 libxext6 libegl1 libgl1-mesa-dri)
BPY_42="bpy==4.2.23" BPY_45="bpy==4.5.15" BPY_313="bpy==5.2.3"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

as_root() { # run apt-get as root, or say that it cannot be done
    [ -z "${FARPLANE_NO_APT:-}" ] || return 1
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    else
        return 1
    fi
}

apt_install() { # apt_install PACKAGE…: install them, or end with the command that does
    local log
    log=$(mktemp)
    say "installing system packages: $*"
    if { as_root apt-get update && as_root apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        rm -f "$log"
        return
    fi
    tail -n 5 "$log" >&2
    rm -f "$log"
    fail "these system packages are missing, and they could not be installed from here:" \
        "    $*" "Install them, then run make again:" "    sudo apt-get update && sudo apt-get install -y $*"
}

room() { # room GIGABYTES: there is as much on the disk of this folder
    local free
    free=$(df -Pk . 2>/dev/null | awk 'NR == 2 { print $4 }')
    [ -z "$free" ] || [ "$free" -ge $(($1 * 1000000)) ]  # a df that does not tell forbids nothing
}

missing_libraries() {
    local name
    for name in "${LIBRARIES[@]}"; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
    done
}

works() { # works PYTHON VERSION: it starts, is that version, and can make a virtual environment with pip in it
    "$1" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" >/dev/null 2>&1
}

find_python() { # find_python VERSION: prints the first interpreter of that version that works
    local candidate
    for candidate in "$(command -v "python$1" || true)" "/usr/bin/python$1" "/usr/local/bin/python$1" \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1"; do
        if [ -x "$candidate" ] && works "$candidate" "$1"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

choose_python() {
    local version
    if [ -n "${PYTHON:-}" ]; then
        works "$PYTHON" 3.11 || works "$PYTHON" 3.13 ||
            fail "PYTHON=$PYTHON is not a Python 3.11 or 3.13 that can make virtual environments"
        echo "$PYTHON"
        return
    fi
    for version in 3.11 3.13; do
        find_python "$version" && return
    done
    # Debian splits ensurepip from the interpreter; the -venv package brings both.
    command -v apt-cache >/dev/null || fail "no Python 3.11 or 3.13 was found: install one, or name it with PYTHON="
    for version in 3.11 3.13; do
        if [ -x "/usr/bin/python$version" ] || apt-cache show "python$version-venv" >/dev/null 2>&1; then
            apt_install "python$version" "python$version-venv" >&2
            find_python "$version" && return
        fi
    done
    fail "no Python 3.11 or 3.13 was found, and apt has none: install one (pyenv does), or name it with PYTHON="
}

if command -v dpkg-query >/dev/null; then
    mapfile -t missing < <(missing_libraries)
    [ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"
else
    say "not a Debian or Ubuntu machine; Blender needs the libraries of these packages: ${LIBRARIES[*]}"
fi

python=$(choose_python)
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ -d .venv/lib/python"$version"/site-packages/torch ] || room 5 ||
    fail "a first set-up takes 5 GB, and $(pwd) has $(df -Ph . | awk 'NR == 2 { print $4 }') left: free some, then run make again"
if [ ! -x .venv/bin/python ] || ! works .venv/bin/python "$version"; then
    say "making .venv with $python"
    rm -rf .venv
    "$python" -m venv .venv
fi
say "installing farplane and what it needs into .venv (a few minutes the first time)"
# One command, so that pip settles numpy for Blender and OpenCV together.
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[wan,blender,dev]'

other_blender() { # other_blender FOLDER PYTHON BPY…: a Blender that the extension is tested in beside .venv's own
    local folder=$1 python=$2
    shift 2
    if [ ! -x "$folder/bin/python" ] && ! room 2; then
        say "$1 is left out: under 2 GB of disk are free; its extension test will be skipped"
        return
    fi
    say "installing $1 into $folder for the extension's test"
    { [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"; } &&
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" pytest OpenEXR==3.5.3 ||
        say "$1 could not be installed; its extension test will be skipped"
}

if [ "$version" = 3.11 ] && [ -z "${FARPLANE_ONE_BLENDER:-}" ]; then
    other_blender .venv-42 "$python" "$BPY_42" "numpy<2"  # 4.2 was built with it, and does not say so
    other_blender .venv-45 "$python" "$BPY_45"
    if python313=$(find_python 3.13); then
        other_blender .venv-313 "$python313" "$BPY_313"
    else
        say "no Python 3.13 here: the extension's test in Blender 5.2 will be skipped"
    fi
fi

touch .venv/.farplane-setup
say "ready"
