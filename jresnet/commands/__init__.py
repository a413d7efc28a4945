"""The commands of `python -m jresnet`, each a function from its arguments to an exit status."""
