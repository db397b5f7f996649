#!/usr/bin/env bash
# The project's Python environment in .venv, exactly as requirements.lock pins it. Quick when current.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

wanted="$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1)"
stamp=.venv/podferry.stamp

# Bytecode is kept, as an installation has it, even where PYTHONDONTWRITEBYTECODE is set: to compile
# all that a command imports takes longer than the command.
compile() {
    .venv/bin/python -m compileall -q podferry runtime storage tasks workers
}

if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    compile
    exit 0
fi

uv="$(ops/setup/uv.sh)"
echo "python: environment in .venv"
[[ -x .venv/bin/python ]] || "$uv" venv --quiet --python '>=3.11' .venv
"$uv" pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements.lock
"$uv" pip install --quiet --python .venv/bin/python --no-deps --editable .
compile
echo "$wanted" >"$stamp"
