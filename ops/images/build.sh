#!/usr/bin/env bash
# Builds the images that docker-compose.yml and the quadlet name, with Docker or Podman.
# usage: build.sh [BUILD-OPTION]..., such as --build-arg PIP_INDEX_URL=https://mirror.example/simple
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

engine=${ENGINE:-$(command -v docker || command -v podman || true)}
if [[ -z $engine ]]; then
    echo "images: neither docker nor podman is here" >&2
    exit 1
fi
build() { # build NAME CONTEXT OPTION...
    local name=$1 context=$2
    shift 2
    "$engine" build --quiet --tag "localhost/$name:latest" --file "ops/images/${name#podferry-}/Containerfile" "$@" "$context" >&2
    echo "localhost/$name:latest"
}

minio=$(ops/setup/minio.sh)
mc=$(ops/setup/mc.sh)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$minio" "$mc" ops/images/minio/{bucket.sh,policy.json} "$context"

build podferry . "$@"
build podferry-redis ops/images/redis "$@"
build podferry-minio "$context" "$@"
