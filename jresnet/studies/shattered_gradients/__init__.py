"""White noise in the gradients of plain nets, brown noise in those of residual ones."""
