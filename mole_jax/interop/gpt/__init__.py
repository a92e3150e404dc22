"""Meta-models of the G.pt reference: import, export, parity."""
