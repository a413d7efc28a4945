"""Returns of agents against the depth of their encoders."""
