#!/usr/bin/env bash
# Installs what the lab and the tests need from the distribution's packages. Does nothing when all is there.
set -euo pipefail

missing=() packages=()
need() { # need WHAT PACKAGE TEST...
    local what=$1 package=$2
    shift 2
    "$@" >/dev/null 2>&1 || { missing+=("$what"); packages+=("$package"); }
}
links_statically() { echo 'int main(void) { return 0; }' | gcc -static -x c -o /dev/null -; }

PATH=$PATH:/usr/sbin:/sbin # a plain user's PATH may lack these
need mmdebstrap mmdebstrap command -v mmdebstrap
need 'Debian archive keys' debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
need redis-server redis-server command -v redis-server
need nginx nginx command -v nginx
need chromium chromium command -v chromium
need chromedriver chromium-driver command -v chromedriver
need systemd-analyze systemd command -v systemd-analyze
need 'prometheus, promtool' prometheus command -v promtool
need ip iproute2 command -v ip
need mount mount command -v mount
need nsenter util-linux command -v nsenter
need gcc gcc command -v gcc
need 'static C library' libc6-dev links_statically
need 'python3 with venv' python3-venv python3 -c 'import ensurepip, venv'
need 'CA certificates' ca-certificates test -e /etc/ssl/certs/ca-certificates.crt

list() { printf '%s, ' "$@" | sed 's/, $//'; }

if ((${#missing[@]} == 0)); then
    echo "system: everything is there"
elif ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo "system: missing $(list "${missing[@]}"); run this as root on Debian or Ubuntu, or install them yourself" >&2
    exit 1
else
    echo "system: installing ${packages[*]} (missing: $(list "${missing[@]}"))"
    # The lab runs a Redis of its own: the package must not start one for the whole machine.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    if ! { apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "system: apt-get failed; its whole output is in $log" >&2
        exit 1
    fi
    rm -f "$log"
fi
