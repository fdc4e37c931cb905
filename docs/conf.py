"""Sphinx reads this; `make site` lays the pages out around it (tools/site.py) and calls Sphinx."""

import os

project = "caltech_lab"
author = "the caltech_lab authors"
copyright = "the caltech_lab authors, MIT license"  # noqa: A001 the name Sphinx asks for

extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
# Of the notebooks' pages, what is committed is shown: nothing runs.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
# Only notebooks and pages that somebody wrote; a warning is an error (tools/site.py).
exclude_patterns = ["_build"]
suppress_warnings = [
    "mystnb.unknown_mime_type",  # an interactive widget, which has a picture beside it
]

autodoc_mock_imports = ["open_clip", "timm", "huggingface_hub"]  # extras
autodoc_member_order = "bysource"
autodoc_default_options = {  # scikit-learn adds these to estimators, with links into its own site
    "exclude-members": "set_fit_request,set_predict_request,set_score_request,set_transform_request"
}
autodoc_typehints = "none"  # numpydoc's sections name the types, with shapes and units
numpydoc_show_class_members = False

html_theme = "sphinx_book_theme"
html_title = "caltech_lab"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the sidebar has the search box
    "article_header_start": ["toggle-primary-sidebar.html"],
}
# Buttons need an address on a code-hosting page: REPOSITORY=https://github.com/OWNER/NAME make site
if repository := os.environ.get("REPOSITORY"):
    html_theme_options |= {
        "repository_url": repository,
        "repository_branch": os.environ.get("BRANCH", "main"),
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }
