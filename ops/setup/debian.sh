#!/usr/bin/env bash
# Makes from Debian's packages what the tests have in the place of images from a registry: base.tar, a root file system with
# Python, Redis and nginx; the programs prometheus and promtool; docker-compose. The last line of stdout is the directory.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

suite=trixie
packages=python3,python3-venv,redis-server,nginx-light,curl,ca-certificates,prometheus,docker-compose
programs=(usr/bin/prometheus usr/bin/promtool usr/libexec/docker/cli-plugins/docker-compose)
without=('/usr/share/doc/*' '/usr/share/locale/*' '/usr/share/man/*' '/usr/share/javascript/*')

lacking() { lacking_bootstrap; }
make_it() {
    local root=$building/root
    bootstrap --variant=minbase --include="$packages" "${without[@]/#/--dpkgopt=path-exclude=}" "$suite" "$root"
    mkdir "$building/made"
    (cd "$root" && mv "${programs[@]}" "$building/made")
    tar --directory "$root" --create --file "$building/made/base.tar" --one-file-system .
}

key=$(echo "$suite $packages ${programs[*]} ${without[*]} $(uname -m)" | recipe)
cached debian "$cache/debian-$key" "getting $suite's packages (about a minute)"
