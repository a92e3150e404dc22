"""The networks inside a meta-model."""
