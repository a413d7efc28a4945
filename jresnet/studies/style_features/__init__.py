"""Residual connections, and the statistics of features that style transfer compares."""
