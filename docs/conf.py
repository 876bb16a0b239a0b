"""Settings of sphinx, which builds the site from the markdown in the repository (`make docs`).

Pages are markdown that reads well as it is, so sphinx's source folder is the repository's root: links between README,
CONTRIBUTING and docs mean the same on the site as beside the files. What is built from docstrings is in reference.py.
"""

import logging
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

import isthmus  # noqa: E402

# A folder of pages may be empty. sphinx 9.0 gives this warning no type, by which it could be suppressed.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "toctree glob pattern" not in record.msg)

project = "Isthmus"
author = "the Isthmus authors"
project_copyright = f"{author}, Apache-2.0"
version = release = isthmus.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "mathml",
    "reference",
]
root_doc = "docs/index"
exclude_patterns = [".*", "runs", "src", "tests", "dist", "build", "docs/_build", "benchmarks/results"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"no-value": True}  # some are tables of everything
autodoc_class_signature = "mixed"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autosummary_generate = False  # reference.py writes the pages
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_param = False  # `hidden, likelihood, ...: see Autoencoder` stays one line
default_role = "py:obj"  # `VAE` in a docstring
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 100
highlight_language = "none"  # blocks say their language

html_theme = "furo"
html_title = f"Isthmus {release}"
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
