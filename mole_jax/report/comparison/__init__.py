"""A page across runs: what differs between them, and what they reached."""
