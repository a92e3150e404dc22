"""A command: its flags, its config, its stages, and how it ends."""
