#!/usr/bin/env python3
"""Benchmarks of Eddy beside its peers. `bench.py --help` explains; README.md says how to read the figures."""
import signal
import sys

# The sources stay as they are.
sys.dont_write_bytecode = True

from harness import main

if __name__ == "__main__":
    # Whoever is asked to end leaves nothing behind, however he is asked.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        sys.exit(main.main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
