"""A DVC remote behind a real server on loopback: push, pull, and what fails on the way."""

import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import STAGES, Project
from ruamel.yaml import YAML

SHARED = [stage for stage in STAGES if stage != "augment"]  # what augment writes is not pushed


class Handler(BaseHTTPRequestHandler):
    """Keeps what is PUT in memory; ``server.fault`` may say how requests of a method go wrong."""

    def do_HEAD(self):
        self._give(body=False)

    def do_GET(self):
        self._give(body=True)

    def do_PUT(self):
        content = self._received()
        fault = self.server.fault.get("PUT")
        if fault == "drop":
            self.connection.close()  # after the bytes, before the answer
            self.close_connection = True
            return
        if not fault:
            self.server.stored[self.path] = content
        self.send_response(500 if fault else 201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _received(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):  # chunked
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _give(self, body: bool):
        content, fault = self.server.stored.get(self.path), self.server.fault.get(self.command)
        self.send_response(500 if fault == "500" else 404 if content is None else 200)
        content = b"" if fault == "500" else content or b""
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "drop":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(content)

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.stored, running.fault = {}, {}
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def sharing(trained, server, tmp_path):
    """A reproduced project whose remote is the server."""
    shutil.copytree(trained.folder, tmp_path / "project")
    project = Project.at(tmp_path / "project")
    project.dvc("remote", "add", "-d", "store", f"http://127.0.0.1:{server.server_port}/kiln")
    project.dvc("remote", "modify", "store", "method", "PUT")
    project.commit("a remote")
    return project


def clone_of(project: Project, folder) -> Project:
    project.run("git", "clone", "-q", project.folder, folder)
    return Project.at(folder)


def digest(project: Project, path: str) -> str:
    lock = YAML(typ="safe").load((project.folder / "dvc.lock").read_text())
    return next(out["md5"] for stage in lock["stages"].values() for out in stage["outs"] if out["path"] == path)


def stored_path(name: str) -> str:
    return f"/kiln/files/md5/{name[:2]}/{name[2:]}"


def test_push_and_pull_through_a_server(sharing, server, tmp_path):
    sharing.dvc("push")
    assert stored_path(digest(sharing, "data/model")) in server.stored
    assert stored_path(digest(sharing, "data/augmented")) not in server.stored  # push: false
    clone = clone_of(sharing, tmp_path / "clone")
    clone.dvc("pull", *SHARED)
    for path in ("data/model/model.json", "data/evaluation/predictions.parquet", "metrics/report.html"):
        assert (clone.folder / path).read_bytes() == (sharing.folder / path).read_bytes()
    assert not (clone.folder / "data/augmented").exists()
    planned = clone.dvc("repro", "--dry", "--allow-missing").stdout
    assert "Running stage" not in planned


@pytest.mark.parametrize("fault", ["500", "drop"])
def test_a_failed_push_says_so_and_the_next_completes(sharing, server, fault):
    server.fault = {"PUT": fault}
    failed = sharing.dvc("push", check=False)
    assert failed.returncode != 0 and "failed to push" in failed.stderr
    assert not server.stored
    server.fault = {}
    sharing.dvc("push")
    assert stored_path(digest(sharing, "data/model")) in server.stored
    assert "up to date" in sharing.dvc("push").stdout


@pytest.mark.parametrize("fault", ["500", "drop"])
def test_a_failed_pull_says_so_and_the_next_completes(sharing, server, fault, tmp_path):
    sharing.dvc("push")
    clone = clone_of(sharing, tmp_path / "clone")
    server.fault = {"GET": fault}
    failed = clone.dvc("pull", *SHARED, check=False)
    # With --allow-missing DVC would take the server's failure for missing files and end with 0.
    assert failed.returncode != 0 and "ERROR:" in failed.stderr
    assert not (clone.folder / "data/model").exists()  # nothing half
    server.fault = {}
    clone.dvc("pull", *SHARED)
    assert (clone.folder / "metrics/report.html").read_bytes() == (sharing.folder / "metrics/report.html").read_bytes()
