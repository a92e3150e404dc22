"""The networks inside of a meta-model."""
