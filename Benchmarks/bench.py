#!/usr/bin/env python3
"""Benchmarks of Eddy beside its peers. `bench.py --help` explains; README.md says how to read the figures."""
import signal
import sys

# The sources stay as they are.
sys.dont_write_bytecode = True

from harness import main

if __name__ == "__main__":
    def end(number, _):
        print(f"\nbench: ended by {signal.Signals(number).name}", file=sys.stderr)
        sys.exit(128 + number)

    # Whoever is asked to end leaves nothing behind, however he is asked.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        sys.exit(main.main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
