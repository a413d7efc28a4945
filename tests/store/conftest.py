"""A store of each kind, and a place for copies that no other test has."""

import pytest

from tests.stores import SCHEMES, environment, serving


@pytest.fixture(params=SCHEMES)
def store(request, monkeypatch, tmp_path):
    """(address of its bucket, the proxy before it)."""
    with serving(request.param) as proxy:
        for name, value in environment(request.param, proxy.url).items():
            monkeypatch.setenv(name, value)
        _configure(monkeypatch)
        monkeypatch.setenv("JRESNET_CACHE", str(tmp_path / "cache"))
        yield f"{request.param}://bucket", proxy


def _configure(monkeypatch):
    """fsspec reads its variables when it is imported."""
    import fsspec.config

    configured = {}
    fsspec.config.set_conf_env(configured)
    monkeypatch.setattr(fsspec.config, "conf", configured)
