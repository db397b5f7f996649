#!/usr/bin/env bash
# Prints the path of uv, which is installed into the cache where the machine has none.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

if uv="$(command -v uv)"; then
    echo "$uv"
    exit 0
fi
home=$cache/uv
if [[ ! -x $home/bin/uv ]]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || "$(dirname "${BASH_SOURCE[0]}")/system.sh" >&2
    echo "uv: installing it into the cache" >&2
    python3 -m venv --clear "$home"
    "$home/bin/pip" install --quiet uv
fi
echo "$home/bin/uv"
