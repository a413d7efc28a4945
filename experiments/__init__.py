"""Experiments of the papers: each is a module to run, `python -m experiments.NAME --help`.

Run so, SIGTERM and Ctrl-C are heeded from here on, while what the module needs is imported.
"""

from jresnet.runtime.signals import install_for_module

install_for_module(__name__)

import jresnet.report  # noqa: E402, F401 - before matplotlib, whose log it sifts
