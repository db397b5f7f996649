#!/usr/bin/env bash
# Makes from Debian's packages what the tests have in the place of images from a registry: base.tar, a root file system with
# Python, Redis and nginx; the programs prometheus and promtool; docker-compose. The last line of stdout is the directory.
set -euo pipefail

suite=trixie
packages=python3,python3-venv,redis-server,nginx-light,curl,ca-certificates,prometheus,docker-compose
programs=(usr/bin/prometheus usr/bin/promtool usr/libexec/docker/cli-plugins/docker-compose)
without=('/usr/share/doc/*' '/usr/share/locale/*' '/usr/share/man/*' '/usr/share/javascript/*')

cache=${PODFERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podferry}
recipe=$(echo "$suite $packages ${programs[*]} ${without[*]} $(uname -m)" | sha256sum | cut -c1-8)
made=$cache/debian-$recipe

if [[ -d $made ]]; then
    echo "debian: there already" >&2
    echo "$made"
    exit
fi
if ((EUID != 0)) || ! command -v mmdebstrap >/dev/null; then
    echo "debian: needs root and mmdebstrap; run ops/setup/system.sh" >&2
    exit 1
fi

mkdir -p "$cache"
exec 9>"$cache/debian.lock"
flock 9
if [[ ! -d $made ]]; then
    echo "debian: getting $suite's packages (about a minute)" >&2
    building=$cache/.debian
    rm -rf --one-file-system "$building"
    mkdir "$building"
    # In a mount namespace of its own, so that not even a killed build leaves a mount behind.
    if ! unshare --mount mmdebstrap --quiet --variant=minbase --include="$packages" \
        "${without[@]/#/--dpkgopt=path-exclude=}" "$suite" "$building/root" >"$cache/debian.log" 2>&1; then
        tail -n 20 "$cache/debian.log" >&2
        echo "debian: mmdebstrap failed; its output is in $cache/debian.log" >&2
        exit 1
    fi
    (cd "$building/root" && mv "${programs[@]}" ..)
    tar --directory "$building/root" --create --file "$building/base.tar" --one-file-system .
    rm -rf --one-file-system "$building/root"
    mv "$building" "$made"
fi
echo "$made"
