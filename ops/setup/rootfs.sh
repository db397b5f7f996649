#!/usr/bin/env bash
# Builds the root file system that every lab host runs on: a Podman and a CRIU that are known to work together,
# whatever the machine itself has. The last line of stdout is its path.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh"

suite=trixie
newer=forky # for CRIU alone: before 4.2 it cannot dump an internet socket on Linux 6.16 and later
packages=podman,runc,netavark,aardvark-dns,nftables,iptables,iproute2,busybox-static,ca-certificates,catatonit

# Run by mmdebstrap; everything happens in the chroot, so that the machine's own packages cannot be touched.
# A mirror's freshness does not matter here, its signature does.
# shellcheck disable=SC2016 # what is in quotes is mmdebstrap's shell's
install_criu='
    apt="chroot $1 apt-get --yes -o Acquire::Check-Valid-Until=false"
    list="$1/etc/apt/sources.list.d/newer.list"
    sed -n "s/ '$suite' main/ '$newer' main/p" "$1/etc/apt/sources.list" >"$list"
    $apt update && $apt install --no-install-recommends -t '$newer' criu libcriu2 && rm "$list"
'

configure() { # configure ROOT
    mkdir -p "$1/etc/containers" "$1/etc/criu"
    # The default limits cannot be raised without CAP_SYS_RESOURCE. runc, because it reads /etc/criu/runc.conf.
    # Logs in files, so that they travel with a container.
    cat >"$1/etc/containers/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:8192"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
    echo 'unqualified-search-registries = []' >"$1/etc/containers/registries.conf"
    # Cgroup properties cannot all be set back by CRIU (runc does it), and a volume's mount point may have another mode.
    printf 'manage-cgroups ignore\nskip-file-rwx-check\n' >"$1/etc/criu/runc.conf"
    # mmdebstrap copies these from the machine.
    : >"$1/etc/resolv.conf"
    echo 'localhost' >"$1/etc/hostname"
}

lacking() { lacking_bootstrap; }
make_it() {
    bootstrap --variant=minbase --include="$packages" --customize-hook="$install_criu" "$suite" "$building/made"
    configure "$building/made"
    chmod 755 "$building/made"
}

key=$(echo "$suite $packages $install_criu $(uname -m) $(declare -f configure)" | recipe)
cached rootfs "$cache/rootfs-$key" "building Debian $suite with Podman and CRIU (about half a minute)"
