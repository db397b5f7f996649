"""What each release wrote, kept so that later ones go on reading it.

``python -m tests.golden`` adds the set of the version at hand: do that once, right before a
release, and never change a set afterwards. A set has ``redis.json`` (records, by key),
``messages.json``, ``store/`` (checkpoints in a directory) and ``keys.json``, which opens these.
"""
