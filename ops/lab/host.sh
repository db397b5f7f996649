#!/bin/sh
# The first process of a lab host, started in namespaces of its own: lays out the file system and becomes the init.
# usage: host.sh NAME ROOTFS DIR [CGROUP_DIR:CGROUP_OPTIONS]...
set -eu
name=$1 rootfs=$2 dir=$3
shift 3
echo "$name" >/proc/sys/kernel/hostname

cd "$dir"
mount -t overlay -o "lowerdir=$rootfs,upperdir=upper,workdir=work" "$name" root
mkdir -p root/var/lib/containers
mount -t tmpfs -o mode=755 run root/run # CRIU keeps what it learnt about the kernel on a tmpfs only
mkdir root/run/podman
mount --bind run root/run/podman # how the machine sees the socket
mount --bind containers root/var/lib/containers # Podman's own overlays cannot lie on this one
cd root
mount -t tmpfs tmpfs tmp
mount -t proc proc proc
mount -t sysfs sysfs sys

# Only the controllers that the machine uses, and none of the v2 hierarchy beside v1: a restore trips over both.
[ "${1-}" = v2 ] || mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
for spec; do
    if [ "$spec" = v2 ]; then
        mount -t cgroup2 cgroup sys/fs/cgroup
    else
        mkdir "sys/fs/cgroup/${spec%%:*}"
        mount -t cgroup -o "${spec#*:}" cgroup "sys/fs/cgroup/${spec%%:*}"
    fi
done

# A /dev of its own: Podman keeps its locks in /dev/shm, which two hosts must not share.
mount -t tmpfs -o mode=755 dev dev
mkdir dev/shm dev/pts dev/mqueue dev/net
mount -t tmpfs shm dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t mqueue mqueue dev/mqueue
for node in null zero full random urandom tty fuse net/tun; do
    [ ! -e "/dev/$node" ] || { : >"dev/$node" && mount --bind "/dev/$node" "dev/$node"; }
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr

printf '127.0.0.1 localhost %s\n' "$name" >etc/hosts
pivot_root . mnt
cd /
umount -l /mnt
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin catatonit -P
