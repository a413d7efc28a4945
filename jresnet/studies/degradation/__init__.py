"""Deeper plain nets train worse, deeper residual nets train better."""
