"""The parts of bench.py. Read `rounds.py` first: what is measured when; then `servers.py` and `inprocess.py`: how."""
