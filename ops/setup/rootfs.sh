#!/usr/bin/env bash
# Builds the root file system that every lab host runs on: a Podman and a CRIU that are known to work together,
# whatever the machine itself has. The last line of stdout is its path.
set -euo pipefail

suite=trixie
newer=forky # for CRIU alone: before 4.2 it cannot dump an internet socket on Linux 6.16 and later
packages=podman,runc,netavark,aardvark-dns,nftables,iptables,iproute2,busybox-static,ca-certificates,catatonit

# Run by mmdebstrap; everything happens in the chroot, so that the machine's own packages cannot be touched.
# A mirror's freshness does not matter here, its signature does.
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

cache=${PODFERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/podferry}
recipe=$(echo "$suite $packages $install_criu $(uname -m) $(declare -f configure)" | sha256sum | cut -c1-8)
root=$cache/rootfs-$recipe

if [[ -d $root ]]; then
    echo "rootfs: there already" >&2
    echo "$root"
    exit
fi
if ((EUID != 0)); then
    echo "rootfs: must be built as root" >&2
    exit 1
fi
if ! command -v mmdebstrap >/dev/null; then
    echo "rootfs: mmdebstrap is missing; run ops/setup/system.sh" >&2
    exit 1
fi

mkdir -p "$cache"
exec 9>"$cache/rootfs.lock"
flock 9
if [[ ! -d $root ]]; then
    echo "rootfs: building Debian $suite with Podman and CRIU (about half a minute)" >&2
    rm -rf --one-file-system "$cache"/.rootfs-* # what killed builds left
    building=$cache/.rootfs-$recipe
    # In a mount namespace of its own, so that not even a killed build leaves a mount behind.
    if ! unshare --mount mmdebstrap --quiet --variant=minbase --include="$packages" \
        --customize-hook="$install_criu" "$suite" "$building" >"$cache/rootfs.log" 2>&1; then
        tail -n 20 "$cache/rootfs.log" >&2
        echo "rootfs: mmdebstrap failed; its output is in $cache/rootfs.log" >&2
        exit 1
    fi
    configure "$building"
    chmod 755 "$building"
    mv "$building" "$root"
fi
echo "$root"
