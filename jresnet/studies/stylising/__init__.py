"""Pictures that take on the style of others."""
