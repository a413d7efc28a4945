"""The papers' experiments, one in each file: `python -m experiments.degradation --help`."""

import jresnet.report  # noqa: F401 - before matplotlib, whose log it sifts
