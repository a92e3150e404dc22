"""Layers that networks of any kind are made of."""
