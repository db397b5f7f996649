# shellcheck shell=bash
# Sourced by what makes something that takes long, once for all: in the cache, under a lock, its output in a log, and put
# in its place only when it is whole. A script defines make_it (which leaves $building/made) and lacking (which says why
# it cannot be made here), and calls cached; one that does not go by the name alone defines is_there and keep as well.

cache=${PODFERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podferry}

recipe() { sha256sum | cut -c1-8; } # of what is on stdin: things made in another way have another name

# In a mount namespace of its own, so that not even a killed build leaves a mount behind.
bootstrap() { unshare --mount mmdebstrap --quiet "$@"; }
lacking_bootstrap() {
    if ((EUID != 0)) || ! command -v mmdebstrap >/dev/null; then
        echo "needs root and mmdebstrap; run ops/setup/system.sh"
    fi
}

lacking() { :; }
is_there() { [[ -d $made ]]; }
keep() { mv "$building/made" "$made"; }

cached() { # cached NAME PATH MAKING: make it unless it is there; the last line of stdout is its path
    name=$1 made=$2 building=$cache/.$name log=$cache/$name.log # not local: the trap outlives the function
    if is_there; then
        echo "$name: there already" >&2
        echo "$made"
        return
    fi
    local missing
    missing=$(lacking)
    if [[ $missing ]]; then
        echo "$name: $missing" >&2
        exit 1
    fi
    mkdir -p "$(dirname "$made")"
    exec 9>"$cache/$name.lock"
    flock 9
    if ! is_there; then
        echo "$name: $3" >&2
        rm -rf --one-file-system "$building" # what a killed build left
        mkdir "$building"
        # A trap, because bash ignores "set -e" in a function that a condition calls.
        trap 'tail -n 20 "$log" >&2; echo "$name: that failed; all it said is in $log" >&2' EXIT
        make_it >"$log" 2>&1
        trap - EXIT
        keep
        rm -rf --one-file-system "$building"
    fi
    echo "$made"
}
