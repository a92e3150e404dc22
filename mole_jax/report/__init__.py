"""Figures and one self-contained page that explain an evaluation to someone who has not read the
code.
"""
