#!/usr/bin/env bash
# Fetches what Podferry's image is built of, for a build without a network. The last line of stdout is the directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

lock=ops/images/podferry/requirements.lock
python=3.13 # of the image
cache=${PODFERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podferry}
recipe=$( (echo "$python $(uname -m)" && cat "$lock") | sha256sum | cut -c1-8)
wheels=$cache/wheels-$recipe

if [[ ! -d $wheels ]]; then
    mkdir -p "$cache"
    exec 9>"$cache/wheels.lock"
    flock 9
fi
if [[ -d $wheels ]]; then
    echo "wheels: there already" >&2
else
    echo "wheels: fetching them" >&2
    building=$cache/.wheels
    rm -rf "$building"
    python3 -m venv "$building/venv"
    "$building/venv/bin/pip" download --quiet --no-deps --only-binary :all: --python-version "$python" \
        --require-hashes --requirement "$lock" --dest "$building/wheels"
    mv "$building/wheels" "$wheels"
    rm -rf "$building"
fi
echo "$wheels"
