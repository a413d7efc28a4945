"""Runs from the command line: their arguments, their folders, and what is read of them later."""
