"""Measurements, never asserted in tests: `make bench`, or `python -m benchmarks.NAME`.

Each prints a table and writes benchmarks/results/NAME.json. Compare ratios of one run: absolute
figures move with the machine and with what else it does.
"""
