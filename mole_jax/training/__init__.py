"""Training on pairs drawn from a zoo: state, steps, feeding, checkpoints."""
