"""Populations: many networks trained at once on device."""
