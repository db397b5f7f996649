#!/usr/bin/env bash
# Builds a Go program from source into the cache: go_program.sh PACKAGE@VERSION. The last line of stdout is its path.
# With "latest" any that is in the cache will do.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

package=$1
version=${package##*@}
program=$(basename "${package%@*}")

lacking() {
    if ! command -v go >/dev/null && [[ $(lacking_bootstrap) ]]; then
        echo "building it needs the Go toolchain (the command 'go'), or root and mmdebstrap"
    fi
}
make_it() {
    if command -v go >/dev/null; then
        GOBIN=$building CGO_ENABLED=0 go install "$package"
        mv "$building/$program" "$building/made"
    else
        make_apart "$building/root"
    fi
}

make_apart() { # make_apart ROOT: in a root file system of its own that has a Go toolchain, thrown away afterwards
    bootstrap --variant=apt --include=golang-go,git,ca-certificates trixie "$1"
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$1/etc/ssl/certs/ca-certificates.crt"
    # shellcheck disable=SC2016 # $1 and $2 are the inner shell's
    unshare --mount sh -c 'mount --bind /proc "$1/proc" && exec chroot "$1" env -i HOME=/root PATH=/usr/bin:/bin \
        GOBIN=/out CGO_ENABLED=0 GOTOOLCHAIN=auto go install "$2"' sh "$1" "$package"
    mv "$1/out/$program" "$building/made"
}

is_there() { [[ -x $made && ($version == latest || $(cat "$made.version" 2>/dev/null) == "$version") ]]; }
keep() {
    rm -f "$made.version"
    mv "$building/made" "$made"
    echo "$version" >"$made.version"
}

cached "$program" "$cache/bin/$program" "building it (a few minutes)"
