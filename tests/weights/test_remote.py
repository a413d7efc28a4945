"""Weights by name and by address, from a server on this machine that speaks as a model hub does."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from jresnet.errors import UsageError
from jresnet.weights import files, remote

STATE = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
DATA = safetensors.numpy.save(STATE)
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Files of `server.files` by their address; `server.faults` break an answer."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.server.asked.append(self.path)
        self.answer(body=True)

    def answer(self, body):
        data = self.server.files.get(self.path)
        if data is None:
            self.send_response(404)
            if "/resolve/" in self.path:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            cut = len(data) // 2 if "cut" in self.path else len(data)
            self.wfile.write(data[:cut])

    def log_message(self, format, *arguments):
        del format, arguments


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("JRESNET_CACHE", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        one.files, one.asked = {}, []
        one.url = f"http://127.0.0.1:{one.server_port}"
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def assert_is_the_state(read):
    assert set(read) == set(STATE)
    np.testing.assert_array_equal(read["fc.weight"], STATE["fc.weight"])


@pytest.mark.parametrize(
    "name",
    ["net.safetensors", f"net-{DIGEST[:8]}.safetensors", "net-20240131.safetensors"],
)
def test_an_address_is_downloaded_once(server, name):
    server.files[f"/{name}"] = DATA
    address = Path(f"{server.url}/{name}")  # whose two slashes are one now
    for _ in range(2):
        assert_is_the_state(files.load(address))
    assert server.asked == [f"/{name}"]
    server.files.clear()
    checked = Path(f"{server.url}/{name}#sha256={DIGEST}")
    with pytest.raises(UsageError, match=r"net.*: not downloaded \(HTTP Error 404"):
        files.load(checked)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"net.safetensors#sha256={'0' * 64}", f"SHA-256 {DIGEST}: expected 000"),
        ("net-00000000.safetensors", f"expected 00000000; give #sha256={DIGEST} if these digits"),
        # No month has the number 31.
        ("net-20243101.safetensors", "expected 20243101"),
        ("cut.safetensors", r"bytes of \d+ came"),
        ("net.safetensors#sha256=12", "expected #sha256= and 64 digits"),
        ("a name.safetensors", "not downloaded"),
    ],
)
def test_a_file_that_came_wrong_is_not_kept(server, name, message, tmp_path):
    server.files["/" + name.partition("#")[0]] = DATA
    with pytest.raises(UsageError, match=message) as caught:
        files.load(Path(f"{server.url}/{name}"))
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_file_that_changed_in_the_cache_is_told(server, tmp_path):
    name = f"net-{DIGEST[:8]}.safetensors"
    server.files[f"/{name}"] = DATA
    address = Path(f"{server.url}/{name}")
    files.load(address)
    (kept,) = (tmp_path / "cache").rglob("net*")
    kept.write_bytes(DATA[:-1] + b"\0")
    with pytest.raises(UsageError, match=f"changed, delete it: .*expected {DIGEST[:8]};"):
        files.load(address)


def test_no_server_is_told_in_one_line(server):
    port = server.server_port
    server.shutdown()
    server.server_close()
    with pytest.raises(UsageError, match=r"not downloaded \(.*refused"):
        files.load(Path(f"http://127.0.0.1:{port}/net.safetensors"))


HUB = """
import json, sys
from pathlib import Path
from jresnet.errors import UsageError
from jresnet.weights import remote
for name in sys.argv[1:]:
    try:
        print(json.dumps(["path", str(remote.local(Path(name)).resolve())]))
    except UsageError as error:
        print(json.dumps(["error", str(error)]))
"""


def hub(tmp_path, server_url, *names, **environment):
    """The result of each name in a process of its own, since the library reads its settings once."""
    done = subprocess.run(
        [sys.executable, "-c", HUB, *names],
        capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {
            "HF_ENDPOINT": server_url, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", **environment,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_name_on_the_hub(server, tmp_path):
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    server.files |= {
        "/timm/a/resolve/main/model.safetensors": DATA,
        "/timm/b/resolve/main/pytorch_model.bin": b"not read here",
        "/timm/c/resolve/v1/best.safetensors": DATA,
    }
    names = ["hf://timm/a", "hf://timm/a", "hf://timm/b", "hf://timm/c/best.safetensors@v1"]
    wrong = ["hf://timm/c", "hf://timm"]
    results = hub(tmp_path, server.url, *names, *wrong)
    assert [kind for kind, _ in results] == ["path"] * 4 + ["error"] * 2
    first, again, other, best = (Path(text) for _, text in results[:4])
    assert first == again
    assert first.read_bytes() == best.read_bytes() == DATA
    assert other.read_bytes() == b"not read here"
    assert server.asked.count("/timm/a/resolve/main/model.safetensors") == 1
    assert "timm/c has no model.safetensors nor pytorch_model.bin" in results[4][1]
    assert "expected hf://OWNER/MODEL" in results[5][1]

    # Without a network what is in the cache is read, and what is not is told.
    first.write_bytes(DATA[:-1] + b"\0")
    offline = hub(tmp_path, server.url, "hf://timm/c/best.safetensors@v1", "hf://timm/d", "hf://timm/b", HF_HUB_OFFLINE="1")  # fmt: skip
    assert offline[2] == ["path", str(other)]
    assert offline[1][0] == "error"
    assert "no answer from the hub, and not in its cache" in offline[1][1]
    # Both names share one blob, which is damaged now.
    assert offline[0][0] == ("error" if best == first else "path")
    damaged = hub(tmp_path, server.url, "hf://timm/a")
    assert "changed, delete it" in damaged[0][1]
    assert damaged[0][1].endswith(f"expected {DIGEST}")


def test_names_are_told_as_they_are_written(server):
    server.files["/net.safetensors"] = DATA
    assert_is_the_state(files.load(Path(f"{server.url.replace('http', 'HTTP')}/net.safetensors")))
    assert remote.spelled(Path("HF://a/b")) == "hf://a/b"
    assert remote.spelled(Path("a/b.pth")) == "a/b.pth"
    for address in (f"{server.url}/", server.url, "https:///net.pth"):
        with pytest.raises(UsageError, match=r"https?://.*expected the address of a file|expected"):
            files.load(Path(address))
    with pytest.raises(
        UsageError, match=r"'https://\[x/net.pth': expected https://HOST/FILE \(Inv"
    ):
        files.load(Path("https://[x/net.pth"))
    with pytest.raises(UsageError, match=r"'hf://a': expected hf://OWNER/MODEL.* or https://HOST"):
        files.load(Path("hf://a"))


def test_names_of_this_machine_are_not_remote(tmp_path):
    assert not remote.is_remote(tmp_path / "net.safetensors")
    assert not remote.is_remote(Path("https"))
    assert remote.is_remote(Path("hf://timm/resnet50.a1_in1k"))
    assert remote.is_remote(Path("https://example.org/net.pth"))


def test_the_extra_is_asked_for(monkeypatch):
    monkeypatch.setattr("jresnet.extras.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'jresnet\[hub\]'"):
        files.load(Path("hf://timm/resnet50.a1_in1k"))
