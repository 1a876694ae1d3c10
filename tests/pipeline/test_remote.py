"""A DVC remote behind a real server on loopback (HTTP, SSH): push, pull, and what fails on the way."""

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from makers.projects import STAGES, Project
from ruamel.yaml import YAML

from kiln.core import download, files
from kiln.core.errors import UserError

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
READY_FOR_SSHD = SSHD and (os.getuid() or Path("/run/sshd").is_dir())  # root's sshd wants the folder
needs_sshd = pytest.mark.skipif(
    not READY_FOR_SSHD, reason="needs sshd (apt-get install openssh-server; as root mkdir /run/sshd)"
)
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
def sharing(small, server, tmp_path):
    """A reproduced project whose remote is the server."""
    project = small.copy(tmp_path / "project")
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


@pytest.mark.full
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


@pytest.mark.full
@pytest.mark.parametrize("fault", ["500", "drop"])
def test_a_failed_pull_says_so_and_the_next_completes(sharing, server, fault, tmp_path):
    sharing.dvc("push")
    clone = clone_of(sharing, tmp_path / "clone")
    server.fault = {"GET": fault}
    failed = clone.dvc("pull", *SHARED, check=False)
    # With --allow-missing DVC would take the server's failure for missing files and end with 0.
    assert failed.returncode != 0 and "ERROR:" in failed.stderr
    assert not (clone.folder / "data/model").exists()  # nothing half
    checked = clone.run(".ci/pull-request", "origin/main", "comment.md", check=False)
    assert "pull-request: dvc pull failed; going on with what is here" in checked.stderr
    server.fault = {}
    clone.dvc("pull", *SHARED)
    assert (clone.folder / "metrics/report.html").read_bytes() == (sharing.folder / "metrics/report.html").read_bytes()


@pytest.fixture
def ssh(tmp_path):
    """A real sshd on loopback that one fresh key opens, with its port and the key."""
    folder = tmp_path / "ssh"
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",  # the key lies in a temporary folder
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    log = folder / "log"
    process = subprocess.Popen([SSHD, "-D", "-f", folder / "config", "-E", log])
    try:
        for _ in range(100):
            if process.poll() is not None:
                pytest.fail(f"sshd ended: {log.read_text()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port, folder / "user"
    finally:
        process.kill()
        process.wait()


@pytest.mark.full
@needs_sshd
def test_push_and_pull_through_ssh(small, ssh, tmp_path):
    port, key = ssh
    project, store = small.copy(tmp_path / "project"), tmp_path / "store"
    project.dvc("remote", "add", "-d", "store", f"ssh://{getpass.getuser()}@127.0.0.1:{port}{store}")
    project.commit("a remote")
    refused = project.dvc("push", check=False)  # without the key
    assert refused.returncode != 0 and "ERROR" in refused.stderr
    assert not store.exists()

    project.dvc("remote", "modify", "--local", "store", "keyfile", str(key))
    project.dvc("push")
    assert (store / stored_path(digest(project, "data/model")).removeprefix("/kiln/")).is_file()
    clone = clone_of(project, tmp_path / "clone")
    clone.dvc("remote", "modify", "--local", "store", "keyfile", str(key))
    clone.dvc("pull", *SHARED)
    for path in ("data/model/model.json", "data/evaluation/predictions.parquet", "metrics/report.html"):
        assert (clone.folder / path).read_bytes() == (project.folder / path).read_bytes()


@pytest.mark.full
@needs_sshd
def test_fetch_through_ssh(ssh, tmp_path, monkeypatch):
    port, key = ssh
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(f"Host 127.0.0.1\n  User {getpass.getuser()}\n  IdentityFile {key}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    source = tmp_path / "images.zip"
    source.write_bytes(bytes(range(256)) * 5000)
    got = download.fetch(f"ssh://127.0.0.1:{port}{source}", files.sha256(source), 60, tmp_path / "kept")
    assert got.read_bytes() == source.read_bytes()
    with pytest.raises(UserError, match="was not found"):
        download.fetch(f"ssh://127.0.0.1:{port}/no/such.zip", "0" * 64, 60, tmp_path / "kept")
