"""What every other folder needs and no domain word names."""
