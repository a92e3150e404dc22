"""How Sphinx builds the site of these pages: `make docs`, with every warning an error."""

project = "MOLE"
html_title = "MOLE"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]  # index.md includes it
html_theme = "furo"
html_static_path: list[str] = []
pygments_style = "friendly"

myst_heading_anchors = 4  # so that links to headings are those of GitHub
myst_enable_extensions = ["deflist"]
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures have them
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
default_role = "code"  # docstrings have `names` as Markdown has them


def setup(app):  # type: ignore[no-untyped-def]
    """Escape the asterisks of docstrings, which are no emphasis: [m, *network.input_shape]."""

    def escape(_app, _what, _name, _object, _options, lines):  # type: ignore[no-untyped-def]
        lines[:] = [line.replace("*", r"\*") for line in lines]

    app.connect("autodoc-process-docstring", escape, priority=1)
