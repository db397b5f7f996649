#!/usr/bin/env bash
# The project's Python environment in .venv, exactly as requirements.lock pins it. Quick when current.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cache="${PODFERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podferry}"
wanted="$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)"
stamp=.venv/podferry.stamp
if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
  exit 0
fi

uv="$(command -v uv || true)"
if [[ -z $uv ]]; then
  uv="$cache/uv/bin/uv"
  if [[ ! -x $uv ]]; then
    echo "setup: installing uv into the cache"
    python3 -m venv "$cache/uv" || {
      echo "setup: python3 with its venv module (3.11 or newer) is needed; Debian: apt-get install python3-venv" >&2
      exit 1
    }
    "$cache/uv/bin/pip" install --quiet uv
  fi
fi

echo "setup: Python environment in .venv"
[[ -x .venv/bin/python ]] || "$uv" venv --quiet --python '>=3.11' .venv
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
"$uv" pip install --quiet --python .venv/bin/python --no-deps --editable .
echo "$wanted" > "$stamp"
