"""Object stores on this machine, and a proxy before them whose requests fail and hang."""

import contextlib
import http.client
import importlib.util
import json
import logging
import os
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

# gcsfs asks by gRPC what kind a bucket is, which the emulator does not speak; read at its import.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

SCHEMES = ("gs", "s3")
BUCKET = "bucket"
SERVERS = {"gs": ("gcp_storage_emulator", "gcsfs"), "s3": ("moto", "s3fs")}
Fault = Callable[[str], float | None]
"""From a request: None lets it pass, 0 answers with 503, seconds make it wait."""


class Proxy:
    """Passes requests on to `port` of this machine, but for those that `fault` picks."""

    def __init__(self, port: int):
        self.port = port
        self.fault: Fault = lambda request: None
        self.requests: list[str] = []
        """Method, path and the begin of what was sent, where Google's has the name; slashes plain."""
        self.faults = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def pass_on(self) -> None:
                body = _body(self)
                sent = body[:500].decode(errors="replace") if self.command == "POST" else ""
                request = urllib.parse.unquote(f"{self.command} {self.path} {sent}")
                proxy.requests.append(request)
                seconds = proxy.fault(request)
                if seconds is not None:
                    proxy.faults += 1
                if seconds:
                    time.sleep(seconds)
                if seconds == 0:
                    return self.answer(503, [], b"")
                back = http.client.HTTPConnection("127.0.0.1", proxy.port)
                headers = {
                    key: value
                    for key, value in self.headers.items()
                    if key.lower() not in ("transfer-encoding", "content-length", "expect")
                }
                back.request(self.command, self.path, body, headers)
                answer = back.getresponse()
                content = answer.read()
                back.close()
                return self.answer(answer.status, answer.getheaders(), content)

            def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
                skipped = ("content-length", "transfer-encoding", "connection", "server", "date")
                with contextlib.suppress(ConnectionError):  # of a client that waits no longer
                    self.send_response(status)
                    for key, value in headers:
                        if key.lower() not in skipped or (
                            self.command == "HEAD" and key.lower() == "content-length"
                        ):
                            self.send_header(
                                key,
                                value.replace(f":{proxy.port}/", f":{self.server.server_port}/"),
                            )
                    if self.command != "HEAD":
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = pass_on  # noqa: N815

        return Handler


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    pieces = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        pieces.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(pieces)


def environment(scheme: str, url: str) -> dict[str, str]:
    """Variables by which jresnet, and the clouds' own tools, talk to the server at `url`."""
    if scheme == "gs":
        return {"STORAGE_EMULATOR_HOST": url, "FSSPEC_GCS": json.dumps({"token": "anon"})}
    return {
        "FSSPEC_S3": json.dumps({"endpoint_url": url, "config_kwargs": {"read_timeout": 60}}),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextlib.contextmanager
def serving(scheme: str) -> Iterator[Proxy]:
    """A store with an empty bucket, in this process; skips where no server is installed."""
    for name in SERVERS[scheme]:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'jresnet[stores]'")
    port, stop = _google() if scheme == "gs" else _amazon()
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
        stop()


def _google() -> tuple[int, Callable[[], None]]:
    from gcp_storage_emulator.server import (  # pyright: ignore[reportMissingImports]
        create_server,
    )

    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    return server._api._httpd.server_port, server.stop


def _amazon() -> tuple[int, Callable[[], None]]:
    import boto3  # pyright: ignore[reportMissingImports]
    from moto.server import ThreadedMotoServer  # pyright: ignore[reportMissingImports]

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # All servers of a process share what they hold.
    reset = urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return port, server.stop
