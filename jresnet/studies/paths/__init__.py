"""Paths: their lengths, and the gradient that each length carries."""
