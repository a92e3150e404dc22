"""Devices: the mesh, what processes agree on, memory, precision and FLOP."""
