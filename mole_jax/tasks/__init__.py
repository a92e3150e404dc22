"""Tasks: data sources, image pools, data subsets and the networks trained on them."""
