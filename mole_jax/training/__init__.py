"""Meta-training of any learner: batches, state, steps, feeding, checkpoints."""
