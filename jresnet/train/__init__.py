"""State, step, loop, optimizers, mesh, checkpoints and logs."""
