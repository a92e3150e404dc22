"""The report: figures and one self-contained page that explain an evaluation to a newcomer.

Start with `story.py`, the page's text in order, and `questions.py`, a section for each question.
All is made of recorded numbers (evaluation.json, figures.npz) and of nothing else.

    build.py                   the stage: reads, draws, writes index.html
    story.py, questions.py, costs.py    the sections
    findings.py                what the numbers say: headline, best baseline, hardest split
    plots/, figures.py         the figures; to add one: a file and a line
    style.py, html.py, numbers.py       one look, one frame, one way to write numbers
    comparison/                `python -m mole_jax.report compare RUN RUN`: runs side by side
    glossary.py                the words
"""
