"""What a container does to its files, by category: the image's part, then the container's.

Each category has a directory of its own, /c/NAME, in which both scripts run, so that a difference
after a move names what was lost.
"""

from __future__ import annotations

from dataclasses import dataclass

_ACL = (  # user 1000 may read; as the kernel stores it: include/uapi/linux/posix_acl_xattr.h
    "02000000" "01000600ffffffff" "02000400e8030000" "04000400ffffffff"
    "10000400ffffffff" "20000400ffffffff"
)  # fmt: skip
_DEFAULT_ACL = _ACL.replace("01000600", "01000700")
_CAPABILITY = "0100000200040000000000000000000000000000"  # cap_net_bind_service+ep


@dataclass(frozen=True, kw_only=True)
class Change:
    """Scripts, and who else keeps what they make: ``plain``, Podman's own export; ``rest``, ours
    when the host's files are out of sight. In ``harmless`` ones Podman can at least export.
    """

    image: str = ":"
    container: str
    plain: bool = False
    rest: bool = True
    harmless: bool = True


CHANGES = {
    "rewritten": Change(image="echo old >f", container="echo new >f"),
    "appended": Change(image="echo old >f", container="echo new >>f"),
    "truncated": Change(image="echo old >f", container=": >f"),
    "file-mode": Change(image="echo x >f", container="chmod 4750 f"),
    "file-owner": Change(image="echo x >f", container="chown 12:34 f"),
    "file-time": Change(image="echo x >f", container="touch -d '2001-02-03 04:05:06' f"),
    "directory-mode": Change(image="mkdir d && echo x >d/f", container="chmod 2711 d"),
    "directory-owner": Change(
        image="mkdir d && echo x >d/f", container="chown 12:34 d", rest=False
    ),
    "directory-time": Change(image="mkdir d", container="touch -d '2001-02-03 04:05:06' d"),
    "replaced-directory": Change(
        image="mkdir -p d/s && echo old >d/f && echo old >d/s/f && echo old >d/gone",
        container="rm -r d && mkdir -m 700 d && echo new >d/f && mkdir d/s d/t && echo x >d/t/f",
    ),
    "emptied-directory": Change(image="mkdir d && echo x >d/f", container="rm -r d && mkdir d"),
    "file-to-directory": Change(
        image="echo x >f", container="rm f && mkdir -m 711 f && echo x >f/g", harmless=False
    ),
    "directory-to-file": Change(image="mkdir d && echo x >d/f", container="rm -r d && echo x >d"),
    "file-to-link": Change(image="echo x >f", container="ln -sf nowhere f"),
    "link-to-file": Change(image="ln -s nowhere l", container="rm l && echo x >l", plain=True),
    "other-link": Change(image="ln -s nowhere l", container="ln -sfn else l", plain=True),
    "link-owner": Change(image="ln -s nowhere l", container="chown -h 12:34 l", plain=True),
    "deleted": Change(
        image="echo x >f && mkdir d && echo x >d/f", container="rm -r f d", plain=True
    ),
    "added": Change(
        container="echo x >f && mkdir -m 1750 d && chown 12:34 d && echo y >d/f && chmod 600 d/f"
        " && mkfifo -m 620 d/pipe && ln -s nowhere dangling && ln -s f good",
        plain=True,
    ),
    "names": Change(
        image="echo old >'a b' && echo old >ü && echo old >$(printf '\\377') && mkdir -p"
        " $(printf 'n%.0s' $(seq 120))",
        container="echo new >'a b' && echo new >ü && echo new >$(printf '\\377') && echo x >"
        '"$(printf "quote\\"\\nline")" && for d in n*; do echo x >$d/$d; done',
    ),
    "links-to-the-image": Change(image="echo x >m", container="ln m a && ln m z"),
    "new-links": Change(container="echo x >a && ln a b && mkdir d && ln a d/c", plain=True),
    "attributes": Change(
        image="echo x >f && echo x >g",
        container="/list --set user.note f c3a4ff00"
        f" && /list --set security.capability g {_CAPABILITY}",
    ),
    "directory-attributes": Change(
        image="mkdir d", container="/list --set user.note d 31", rest=False
    ),
    "new-attributes": Change(
        container="echo x >f && echo x >g && /list --set user.note f c3a4ff00"
        f" && /list --set security.capability g {_CAPABILITY}",
        plain=True,
    ),
    "access-lists": Change(
        image="echo x >f && mkdir d && mkdir e",
        container=f"echo x >g && for f in f g; do /list --set system.posix_acl_access $f {_ACL};"
        f" done; /list --set system.posix_acl_default d {_DEFAULT_ACL}; echo x >e/f &&"
        f" /list --set system.posix_acl_default e {_DEFAULT_ACL}",
        rest=False,
    ),
    "grown": Change(image="echo x >f", container="truncate -s 20971520 f && echo end >>f"),
}
# Where other file systems are mounted; the same scripts run there as in a category.
_ANYTHING = (
    "echo x >f && chmod 640 f && chown 12:34 f && mkdir -m 2750 d && echo y >d/f && ln f d/link"
    " && ln -s nowhere dangling && chmod 3771 . && chown 56:78 ."
)
PLACES = {
    "/named": Change(container=_ANYTHING),
    "/anonymous": Change(container=_ANYTHING),
    "/over": Change(container=_ANYTHING),  # a volume over a directory of the image
    "/scratch": Change(container=_ANYTHING, plain=True),  # tmpfs: CRIU carries it
    "/dev/shm": Change(container=_ANYTHING),
}


def prepare() -> str:
    """The script that makes the image's part."""
    return _script({f"/c/{name}": change.image for name, change in CHANGES.items()})


def carry_out(*, harmless: bool) -> str:
    """The script that a running container is changed with; it touches the root itself too.

    ``harmless`` leaves out what makes Podman's own code fail.
    """
    inside = {
        f"/c/{name}": change.container
        for name, change in CHANGES.items()
        if change.harmless or not harmless
    }
    mounted = {place: change.container for place, change in PLACES.items()}
    return _script(inside | mounted) + "chmod 751 /\n"


def _script(parts: dict[str, str]) -> str:
    # "&&" would hide a failure from "set -e"
    commands = ((place, part.replace(" && ", "; ")) for place, part in parts.items())
    lines = (f"mkdir -p {place}; cd {place}; {part}" for place, part in commands)
    return "set -e\n" + "\n".join(lines) + "\n"
