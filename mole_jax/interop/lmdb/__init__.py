"""Runs of G.pt's LMDB folders, to zoos and back."""
