"""What lies in the store, from inside the lab's network.

usage: python -m tests.bench.objects clear | bytes PREFIX

``clear`` deletes every object but the images; ``bytes`` prints how many there are below a prefix.
The store is the one that the environment names.
"""

from __future__ import annotations

import sys

from tests.bench.s3_tools import Store


def main(words: list[str]) -> None:
    """Do what the command line says."""
    store = Store.named()
    match words:
        case ["clear"]:
            store.delete(*(key for key in store.sizes() if not key.startswith("images/")))
        case ["bytes", prefix]:
            print(sum(store.sizes(prefix).values()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
