"""Figures of the ancestors' own papers, reproduced with MOLE's learners."""
