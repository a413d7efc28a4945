"""Label maps by residual nets, and by their plain twins."""
