"""Tests of what needs no processes: python3 -m unittest discover -s Benchmarks/harness/tests -t Benchmarks"""
