"""Classes and functions that earlier versions called otherwise."""

# As `describe` wrote them: "module:qualified.name".
RENAMED = {"jresnet.models.heads:Given": "jresnet.models.heads.precomputed:Precomputed"}


def current_name(name: str) -> str:
    """Today's name of a class or function that a description names."""
    return RENAMED.get(name, name)
