"""The zoo stage: populations trained group by group into a zoo."""
