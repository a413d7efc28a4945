"""Nets that paint pictures in one style, residual and plain."""
