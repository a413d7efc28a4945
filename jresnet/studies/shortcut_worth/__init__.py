"""Residual nets and their plain twins, application by application."""
