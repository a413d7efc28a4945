"""Figures and the HTML report of a run."""

import logging
import os

_UNWRITABLE_HOME = ("mkdir -p failed", "is not a writable directory", "created a temporary cache")

# Without a home that can be written matplotlib makes a temporary folder, which is all that is needed.
if not os.environ.get("MPLCONFIGDIR"):
    logging.getLogger("matplotlib").addFilter(
        lambda record: not any(words in str(record.msg) for words in _UNWRITABLE_HOME)
    )
