"""A model hub on this machine, as far as huggingface_hub asks it for making and reading models."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """`server.models` are the files of each model by name; large ones come by LFS first."""

    def do_HEAD(self):
        self.file(body=False)

    def do_GET(self):
        path, _, _ = self.path.partition("?")
        if "/resolve/" in path:
            return self.file(body=True)
        model = path.removeprefix("/api/models/").partition("/tree/")[0]
        if model not in self.server.models:
            return self.missing("RepoNotFound")
        return self.tell(
            [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for name, data in self.server.models[model].items()
            ]
        )

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length) if length else b"".join(self.chunks())
        self.server.asked.append(self.path)
        if self.server.refuses:
            return self.tell({"error": "you may not write here"}, 403)
        if self.path == "/api/repos/create":
            asked = json.loads(data)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.models.setdefault(name, {})
            # Older libraries say "private", newer ones "visibility".
            private = asked.get("private") or asked.get("visibility") == "private"
            self.server.private.setdefault(name, private)  # one that is there stays as it is
            return self.tell({"url": f"{self.server.url}/{name}", "id": name})
        if self.path == "/api/validate-yaml":
            return self.tell({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            modes = [
                {"path": file["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular"}
                for file in json.loads(data)["files"]
            ]  # fmt: skip
            return self.tell({"files": modes})
        if self.path.endswith("/objects/batch"):
            return self.tell({"transfer": "basic", "objects": [
                {"oid": one["oid"], "size": one["size"],
                 "actions": {"upload": {"href": f"{self.server.url}/put/{one['oid']}"}}}
                for one in json.loads(data)["objects"]
            ]})  # fmt: skip
        return self.commit(self.path.split("/api/models/")[1].partition("/commit/")[0], data)

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(data).hexdigest() == self.path.rpartition("/")[2]
        self.server.large[self.path.rpartition("/")[2]] = data
        self.tell({})

    def commit(self, model, data):
        for line in data.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.server.models[model][value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.server.models[model][value["path"]] = self.server.large[value["oid"]]
        self.tell({"commitUrl": f"{self.server.url}/{model}/commit/{'1' * 40}",
                   "commitOid": "1" * 40, "pullRequestUrl": None})  # fmt: skip

    def file(self, body):
        model, _, rest = self.path.lstrip("/").partition("/resolve/")
        data = self.server.models.get(model, {}).get(rest.partition("/")[2])
        if data is None:
            return self.missing("EntryNotFound")
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def chunks(self):
        """The parts of a body that comes without its length."""
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def tell(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def missing(self, code):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *arguments):
        del format, arguments


@contextlib.contextmanager
def serving():
    """The server, with `models`, `private`, `asked`, `refuses` and its `url`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.models, server.private, server.large = {}, {}, {}
        server.asked, server.refuses = [], False
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
