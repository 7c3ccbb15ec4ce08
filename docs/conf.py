"""The manual as a site: `make -C docs html`."""

import os
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
sys.path.insert(0, str(PROJECT))

import deep_cnn  # noqa: E402

project = "deep_cnn"
author = "The deep_cnn authors"
release = deep_cnn.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"deep_cnn {release}"
html_show_sphinx = False
html_show_copyright = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3  # a link to a heading that does not exist is a warning, and warnings are errors
myst_links_external_new_tab = True
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other libraries in signatures; links between pages stay checked

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

# Tutorials run when they have changed, each from the first cell, in an empty project folder
nb_execution_mode = "cache"
nb_execution_timeout = 280
nb_execution_raise_on_error = True
# tutorials/perception.md takes five minutes: tests/slow/test_perception_walk.py runs its commands instead
nb_execution_excludepatterns = ["start/*", "how_to/*", "concepts/*", "reference/*", "tutorials/perception*"]
nb_execution_show_tb = True
nb_merge_streams = True

_startup = DOCS / "_build" / "ipython" / "profile_default" / "startup"
_startup.mkdir(parents=True, exist_ok=True)
shutil.copy(DOCS / "bash_cells.py", _startup)
os.environ["IPYTHONDIR"] = str(DOCS / "_build" / "ipython")

_folder = DOCS / "_build" / "project"
shutil.rmtree(_folder, ignore_errors=True)
_folder.mkdir(parents=True)
for _name in ("tests", "deep_cnn", "benchmarks", "cluster", "submit.pbs", "environment.sh", "data_download.sh"):
    (_folder / _name).symlink_to(PROJECT / _name)
os.environ["DEEP_CNN_PROJECT"] = str(_folder)
os.environ["PYTHONPATH"] = str(PROJECT)
os.environ["PATH"] = (
    f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `python` in a cell is this Python
)
