"""Zoos made of networks that were trained elsewhere."""
