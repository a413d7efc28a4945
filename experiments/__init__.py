"""Experiments of the papers: each is a module to run, `python -m experiments.NAME --help`.

SIGTERM and Ctrl-C are handled from here on, even while the modules are imported.
"""

from jresnet.runtime.signals import install_for_module

install_for_module(__name__)

import jresnet.report  # noqa: E402, F401 - before matplotlib, whose log it filters
