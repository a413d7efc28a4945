"""A run in a world that has come to need more room since: `evaluate` and `predict` say so in a line."""

import pytest

from experiments.games import games
from jresnet.run.launch import launch

pytest.importorskip("gymnasium", reason="the extra `atari` is not installed")
pytestmark = pytest.mark.slow
NAME = "gymnasium:tests.data.gymnasium_games:Growing-v0"
SAYS = f"error: game='{NAME}': expected an environment that stays as large as it is, "
SIZE = (
    "--agent", "pqn", "--net", "pooled", "--width", "4", "--worlds", "2", "--turns", "8",
    "--frames", "16", "--episodes", "2", "--longest", "160",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a training whose world did not grow while it lasted."""
    from tests.data.gymnasium_games import Growing

    folder = tmp_path_factory.mktemp("games") / "growing"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Growing, "slow", 10**9)
        launch(games, ["--game", NAME, *SIZE, "--workdir", str(folder), "--devices", "1"])
    return folder / "pooled-seed0"


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_the_line_names_the_world_and_its_bytes(run, name, command, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    status, out, err = command(name, run.absolute())
    assert status == 2
    assert out == ""
    assert err.startswith(SAYS)
    assert err.count("\n") == 1
    assert "bytes were kept for its pickle" in err
    assert not [record for record in caplog.records if record.exc_info]  # no traceback of jax
    assert list(tmp_path.iterdir()) == []
