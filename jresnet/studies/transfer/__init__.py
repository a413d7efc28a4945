"""A trained net on another set: what it starts from, and what came of it."""
