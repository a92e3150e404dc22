"""Speed and size, measured and never asserted; each prints a table and writes JSON."""
