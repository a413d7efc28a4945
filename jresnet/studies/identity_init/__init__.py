"""Residual nets that start as the identity."""
