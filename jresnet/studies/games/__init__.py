"""The study of agents that play."""
