"""What a person at a terminal sees and does: progress, Ctrl-C, a terminal that closes."""
