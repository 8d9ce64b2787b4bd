#!/bin/sh
# Builds .venv from uv.lock: finds a Python, puts a pinned uv beside it (.tools), lets uv install the rest.
# Safe to run again; says what it does.
set -eu

UV_VERSION=0.13.9
cd "$(dirname "$0")/.."

fits() {
    # Runs it, because a version manager's shim can be there without a Python behind it.
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && echo "$PYTHON" && return
        echo "PYTHON=$PYTHON is not a Python 3.11 or later that runs." >&2
        return 1
    fi
    for candidate in python3.11 python3.12 python3.13 python3.14 python3 python; do
        fits "$candidate" && echo "$candidate" && return
    done
    found=$(python3 --version 2>&1 || true)
    echo "No Python 3.11 or later was found (python3 says: ${found:-nothing})." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3.11" >&2
    return 1
}

install_uv() {
    [ "$(.tools/bin/uv --version 2>/dev/null | cut -d' ' -f2)" = "$UV_VERSION" ] && return
    echo "Installing uv $UV_VERSION into .tools (it installs the rest from the lock file)"
    rm -rf .tools
    if ! "$1" -m venv .tools >.tools.log 2>&1; then
        cat .tools.log >&2
        echo "$1 cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2
        return 1
    fi
    rm -f .tools.log
    .tools/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "uv==$UV_VERSION"
}

python=$(find_python)
install_uv "$python"
echo "Installing the locked dependencies into .venv ($("$python" --version))"
quiet=--quiet
[ -t 2 ] && quiet=
unset VIRTUAL_ENV CONDA_PREFIX UV_PROJECT_ENVIRONMENT
# Our own package is built anew each time: neither a cached build, which puts no compiled codec into the tree,
# nor one that lies there from older sources will do.
rm -f schemas/compiled/codec.*.so
UV_PYTHON_DOWNLOADS=never .tools/bin/uv sync --frozen $quiet --compile-bytecode --reinstall-package cashback-stream \
    --python "$("$python" -c 'import sys; print(sys.executable)')"
[ -n "$(find schemas/compiled -name 'codec.*.so')" ] ||
    echo "The codec could not be compiled and is fastavro, which is slower: install gcc, then make -B .venv"
echo "The environment is ready"
