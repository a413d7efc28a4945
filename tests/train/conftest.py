"""A training that several files compare with theirs."""

import pytest

from tests.train.toy import train


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Folder and outcome of the toy, trained on one device without a break."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, train(folder, ema_decay=0.9)
