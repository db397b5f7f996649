#!/usr/bin/env bash
# Fetches what Podferry's image is built of, for a build without a network. The last line of stdout is the directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. ops/setup/cache.sh

lock=ops/images/podferry/requirements.lock
python=3.13 # of the image

make_it() {
    python3 -m venv "$building/venv"
    "$building/venv/bin/pip" download --quiet --no-deps --only-binary :all: --python-version "$python" \
        --require-hashes --requirement "$lock" --dest "$building/made"
}

key=$( (echo "$python $(uname -m)" && cat "$lock") | recipe)
cached wheels "$cache/wheels-$key" "fetching them"
