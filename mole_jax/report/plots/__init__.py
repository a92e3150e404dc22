"""The figures, one a file: what it needs, how it is drawn, and the sentence that says what it
shows.
"""
