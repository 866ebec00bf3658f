"""The parts of network.py: processes, peers, subjects and the report."""
