"""Convolutions of oneDNN for XLA on CPUs, an extra that is built on the machine that runs it."""
