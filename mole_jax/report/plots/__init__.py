"""The figures, one per file: what each needs, how it is drawn, and its caption."""
