#!/usr/bin/env bash
# Builds MinIO from source into the cache, for the lab's object store. The last line of stdout is its path.
set -euo pipefail

cache=${PODFERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podferry}
minio=$cache/bin/minio

if [[ -x $minio ]]; then
    echo "minio: there already" >&2
    echo "$minio"
    exit
fi
if ! command -v go >/dev/null; then
    echo "minio: building it needs the Go toolchain (the command 'go'), which is missing" >&2
    exit 1
fi

mkdir -p "$cache/bin"
exec 9>"$cache/minio.lock"
flock 9
if [[ ! -x $minio ]]; then
    echo "minio: building it (two to three minutes)" >&2
    building=$cache/.minio
    rm -rf "$building"
    if ! GOBIN=$building go install github.com/minio/minio@latest >"$cache/minio.log" 2>&1; then
        tail -n 20 "$cache/minio.log" >&2
        echo "minio: the build failed; its output is in $cache/minio.log" >&2
        exit 1
    fi
    mv "$building/minio" "$minio"
    rm -rf "$building"
fi
echo "$minio"
