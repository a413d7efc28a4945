"""Worlds that agents act in: the protocol, worlds by name, seeds of episodes."""
