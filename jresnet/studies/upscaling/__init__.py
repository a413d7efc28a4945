"""Pictures made larger by residual nets, and by their plain twins."""
