"""The time of compilation is measured, even if the same was compiled before."""

import jax
import jax.numpy as jnp
import pytest

from jresnet.benchmark.jax_nets import compiled, enable_cache

HIT = "/jax/compilation_cache/cache_hits"


@pytest.fixture
def hits(tmp_path):
    """Programs read from a cache of this test's own so far."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    kept = {name: getattr(jax.config, name) for name in names}
    actual = []
    listener = lambda event, **_: actual.append(event) if event == HIT else None  # noqa: E731
    jax.monitoring.register_event_listener(listener)
    for name, value in zip(names, (str(tmp_path), 0.0), strict=True):
        jax.config.update(name, value)
    enable_cache(True)
    yield actual
    jax.monitoring.unregister_event_listener(listener)
    for name, value in kept.items():
        jax.config.update(name, value)
    enable_cache(True)


def test_a_program_that_is_kept_is_compiled_again(hits):
    def program(x):
        return jnp.sin(x) @ x

    x = jnp.ones((3, 3))
    for expected in (0, 1):
        jax.jit(program).lower(x).compile()
        jax.clear_caches()
        assert len(hits) == expected
    for _ in range(2):
        compiled(program, (x,))
        jax.clear_caches()
    assert len(hits) == 1
    jax.jit(program).lower(x).compile()
    assert len(hits) == 2
