"""What holds for every test."""

import os

# Servers of tests are on loopback or in the lab, and few of them want a password. Those that try
# what an installation refuses ask for it by name.
os.environ["PODFERRY_ENVIRONMENT"] = "dev"
