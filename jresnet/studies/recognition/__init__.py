"""Faces recognised by residual nets, and by their plain twins."""
