#!/usr/bin/env bash
# Builds a Go program from source into the cache: go_program.sh PACKAGE@VERSION. The last line of stdout is its path.
# With "latest" any that is in the cache will do.
set -euo pipefail

package=$1
version=${package##*@}
name=$(basename "${package%@*}")
cache=${PODFERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podferry}
program=$cache/bin/$name
building=$cache/.$name

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
        mv "$root/out/$name" "$building/$name"
}

is_current() { [[ -x $program && ($version == latest || $(cat "$program.version" 2>/dev/null) == "$version") ]]; }

if is_current; then
    echo "$name: there already" >&2
    echo "$program"
    exit
fi
if command -v go >/dev/null; then
    how=build
elif ((EUID == 0)) && command -v mmdebstrap >/dev/null; then
    how=build_apart
else
    echo "$name: building it needs the Go toolchain (the command 'go'), or root and mmdebstrap" >&2
    exit 1
fi

mkdir -p "$cache/bin"
exec 9>"$cache/$name.lock"
flock 9
if ! is_current; then
    echo "$name: building it (a few minutes)" >&2
    rm -rf --one-file-system "$building"
    if ! "$how" >"$cache/$name.log" 2>&1; then
        tail -n 20 "$cache/$name.log" >&2
        echo "$name: the build failed; its output is in $cache/$name.log" >&2
        exit 1
    fi
    rm -f "$program.version"
    mv "$building/$name" "$program"
    echo "$version" >"$program.version"
    rm -rf --one-file-system "$building"
fi
echo "$program"
