#!/usr/bin/env bash
# Makes the build context of the counter image, which needs no registry: its own program and a static busybox.
set -euo pipefail

out=${1:?usage: context.sh OUTDIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$("$here/../../setup/rootfs.sh" | tail -n 1)

mkdir -p "$out"
cp "$here/counter/Containerfile" "$root/usr/bin/busybox" "$out/"
gcc -static -O2 -Wall -Wextra -Werror -o "$out/counter" "$here/counter/counter.c"
echo "context: $out is ready to build"
