"""Layer responses: how strongly the layers of a net respond."""
