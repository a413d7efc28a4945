"""Every application of residual nets on one page, with its result."""
