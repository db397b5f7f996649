#!/usr/bin/env bash
# Builds MinIO from source into the cache, for the lab's object store. The last line of stdout is its path.
set -euo pipefail

package=github.com/minio/minio@latest
cache=${PODFERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podferry}
minio=$cache/bin/minio
building=$cache/.minio

build() { GOBIN=$building CGO_ENABLED=0 go install "$package"; }

# Without a Go toolchain: in a root file system of its own that has one, thrown away afterwards.
build_apart() {
    local root=$building/root
    # One list, because bash ignores "set -e" in a function that a condition calls.
    # shellcheck disable=SC2016 # $1 and $2 are the inner shell's
    mkdir -p "$building" &&
        unshare --mount mmdebstrap --quiet --variant=apt --include=golang-go,git,ca-certificates trixie "$root" &&
        cp /etc/resolv.conf "$root/etc/resolv.conf" &&
        cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/ca-certificates.crt" &&
        unshare --mount sh -c 'mount --bind /proc "$1/proc" && exec chroot "$1" env -i HOME=/root PATH=/usr/bin:/bin \
            GOBIN=/out CGO_ENABLED=0 GOTOOLCHAIN=auto go install "$2"' sh "$root" "$package" &&
        mv "$root/out/minio" "$building/minio"
}

if [[ -x $minio ]]; then
    echo "minio: there already" >&2
    echo "$minio"
    exit
fi
if command -v go >/dev/null; then
    how=build
elif ((EUID == 0)) && command -v mmdebstrap >/dev/null; then
    how=build_apart
else
    echo "minio: building it needs the Go toolchain (the command 'go'), or root and mmdebstrap" >&2
    exit 1
fi

mkdir -p "$cache/bin"
exec 9>"$cache/minio.lock"
flock 9
if [[ ! -x $minio ]]; then
    echo "minio: building it (a few minutes)" >&2
    rm -rf --one-file-system "$building"
    if ! "$how" >"$cache/minio.log" 2>&1; then
        tail -n 20 "$cache/minio.log" >&2
        echo "minio: the build failed; its output is in $cache/minio.log" >&2
        exit 1
    fi
    mv "$building/minio" "$minio"
    rm -rf --one-file-system "$building"
fi
echo "$minio"
