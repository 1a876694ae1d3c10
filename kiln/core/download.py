"""Downloads that give exactly the file whose digest is pinned, or end with one sentence."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from kiln.core import files, progress
from kiln.core.errors import UserError

FOLDER = Path("data/.downloads")
CHUNK = 2**18
READ_TIMEOUT = 30.0
ATTEMPTS = 5
BACKOFF = 1.0
RETRIED = (429, 500, 502, 503, 504)
# Packages that fsspec needs for each scheme.
DRIVERS = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "ssh": "sshfs",
    "sftp": "sshfs",
    "memory": "fsspec",
}


@dataclass(frozen=True)
class Keys:
    """The keys of params.yaml that messages name.

    Attributes:
        url: of the address.
        sha256: of the digest.
        path: of a local file that may be given instead.
        deadline: of the seconds for the whole download; None where they are fixed.
    """

    url: str = "fetch.source.url"
    sha256: str = "fetch.source.sha256"
    path: str = "fetch.path"
    deadline: str | None = "fetch.source.deadline"


@dataclass(frozen=True)
class _Task:
    """A download: its address, its seconds in all, when they end (monotonic), and the keys that messages name."""

    url: str
    deadline: float
    end: float
    keys: Keys

    def error(self, problem: str) -> UserError:
        """Build an error about the address."""
        return UserError(f"{shown(self.url)} {problem}")

    def late(self) -> UserError:
        """Build the error for a deadline that has passed."""
        longer = f", raise {self.keys.deadline}," if self.keys.deadline else ""
        return self.error(
            f"did not arrive within {self.deadline:g} seconds: try again later{longer} or {self.by_hand()}"
        )

    def by_hand(self) -> str:
        """Say how to avoid the download."""
        return f"download the file yourself and set {self.keys.path} to it"


FETCH_KEYS = Keys()


def shown(url: str) -> str:
    """Return a URL that is safe to print: scheme, host and path, without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def fetch(url: str, sha256: str, deadline: float, folder: Path = FOLDER, keys: Keys = FETCH_KEYS) -> Path:
    """Return a local copy of a file whose digest is pinned; without a request if a valid copy exists.

    Args:
        url: http(s)://, or s3://, gs://, az://, ssh:// with the user's own credentials.
        sha256: 64 hex digits; if empty, the file is kept and the error states its digest.
        deadline: seconds in all, retries included.
        folder: where copies are kept.
        keys: the params that messages name.

    Raises:
        UserError: the file cannot be downloaded or is a different one; nothing of it is kept.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UserError(f"{keys.url} cannot be read as an address: check its brackets") from None
    # fsspec reads "::" as a chain of file systems, which may include the local one.
    chained = parts.scheme in DRIVERS and "::" in url
    if chained or parts.scheme not in ("http", "https", *DRIVERS) or not parts.path.strip("/"):
        known = ", ".join(f"{scheme}://" for scheme in ("http", "https", "s3", "gs", "az", "ssh"))
        raise UserError(f"{keys.url} {shown(url)} is not the address of a file: it should start with one of {known}")
    if parts.path.endswith("/"):
        raise UserError(
            f"{keys.url} {shown(url)} is a folder: pack it as one archive, or download it (`dvc import-url`) and set "
            f"{keys.path} to where it is"
        )
    name = re.sub(r"[^\w.-]", "_", parts.path.rsplit("/", 1)[-1])[-80:]
    path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
    if not path.is_file() or (sha256 and files.sha256(path) != sha256):
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        try:
            transfer = _http if parts.scheme.startswith("http") else _store
            task = _Task(url, deadline, time.monotonic() + deadline, keys)
            transfer(task, partial)
            _check(task, partial, sha256)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
    if not sha256:
        raise UserError(
            f"{keys.sha256} is empty, and {shown(url)} has the SHA-256 {files.sha256(path)}: if that is what its "
            f"publisher says, set {keys.sha256} to it; the file is kept, so nothing is downloaded again"
        )
    return path


def check_redirect(url: str, target: str, keys: Keys = FETCH_KEYS) -> None:
    """Raise if a redirect leaves http(s), or leads from https to http.

    Args:
        url: of the response.
        target: of the redirect, perhaps relative.
        keys: the params that messages name.

    Raises:
        UserError: naming the two schemes.
    """
    before = urlsplit(url).scheme
    try:
        after = urlsplit(urljoin(url, target)).scheme
    except ValueError:
        after = "nowhere"
    if after not in ("http", "https") or (before, after) == ("https", "http"):
        raise UserError(
            f"{shown(url)} redirects from {before} to {after:.20}, which is not followed: set {keys.url} to where the "
            f"file itself lies, or download it yourself and set {keys.path} to it"
        )


def _check(task: _Task, path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        start = file.read(256).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise task.error(
            "returned a web page instead of a file, perhaps a login or an error page: open the address in a browser "
            f"and set {task.keys.url} to the file itself"
        )
    actual = files.sha256(path)
    if sha256 and actual != sha256:
        raise task.error(
            f"has the SHA-256 {actual}, but {task.keys.sha256} says {sha256}: the file has changed or is not the one "
            "you mean; nothing of it was kept"
        )


def _http(task: _Task, path: Path) -> None:
    """Download over HTTP; an interrupted transfer resumes where the server supports it."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class LimitedRetry(Retry):
        """Waits as urllib3 does, but not beyond the deadline."""

        def sleep(self, response=None):
            asked = self.get_retry_after(response) if response else None
            if time.monotonic() + (self.get_backoff_time() if asked is None else asked) > task.end:
                raise task.late()
            super().sleep(response)

    class SafeSession(requests.Session):
        """Follows no redirect to another scheme, nor from https to http, which can be tampered with."""

        def get_redirect_target(self, response):
            target = super().get_redirect_target(response)
            if target is not None:
                check_redirect(response.url, target, task.keys)
            return target

    retry = LimitedRetry(total=ATTEMPTS, backoff_factor=BACKOFF, status_forcelist=RETRIED, raise_on_status=False)
    with SafeSession() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        session.mount("https://", HTTPAdapter(max_retries=retry))
        tag = None
        for attempt in range(ATTEMPTS):
            try:
                response = _ask(session, task, path, tag)
            except requests.exceptions.TooManyRedirects:
                raise task.error(f"redirects in a loop: check {task.keys.url}") from None
            except requests.exceptions.SSLError:
                raise task.error(f"has a certificate that cannot be verified: check {task.keys.url}") from None
            except requests.exceptions.RequestException:
                raise task.error(
                    f"does not respond: check {task.keys.url} and the network, or {task.by_hand()}"
                ) from None
            tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
            with response:
                if _receive(task, response, path):
                    return
            pause = BACKOFF * 2**attempt
            if time.monotonic() + pause > task.end:
                raise task.late()
            time.sleep(pause)
    raise task.error(f"broke off {ATTEMPTS} times: try again later, or {task.by_hand()}")


def _ask(session, task: _Task, path: Path, tag: str | None):
    """Request the file, or its missing rest where the server has identified its version (RFC 9110, If-Range)."""
    headers = {"Accept-Encoding": "identity"}
    have = path.stat().st_size if path.exists() else 0
    if have and tag and not tag.startswith("W/"):
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    response = session.get(task.url, headers=headers, stream=True, timeout=READ_TIMEOUT)
    if response.status_code == 416:
        path.unlink()
        response = session.get(task.url, headers={"Accept-Encoding": "identity"}, stream=True, timeout=READ_TIMEOUT)
    if response.status_code in (200, 206):
        return response
    response.close()
    problems = {
        401: f"requires credentials: put them into ~/.netrc, or {task.by_hand()}",
        403: f"denies access: ask its owner, or {task.by_hand()}",
        404: f"was not found: check {task.keys.url}",
        410: f"is gone: check {task.keys.url}",
    }
    other = f"responds with status {response.status_code}: try again later, or check {task.keys.url}"
    raise task.error(problems.get(response.status_code, other))


def _receive(task: _Task, response, path: Path) -> bool:
    """Write what arrives; return whether it is complete."""
    from urllib3.exceptions import HTTPError

    resumed = response.status_code == 206
    done = path.stat().st_size if resumed else 0
    length = response.headers.get("Content-Length", "")
    total = done + int(length) if length.isdigit() else None
    files.need_room(path.parent, total - done if total else 0)
    with path.open("ab" if resumed else "wb") as file:
        try:
            # read1 returns what has arrived, so that a slow trickle cannot outlast the deadline.
            chunks = iter(lambda: response.raw.read1(CHUNK, decode_content=False), b"")
            for chunk in _in_time(task, progress.track(chunks, "download", total, "bytes", size=len)):
                file.write(chunk)
                done += len(chunk)
        except HTTPError:
            return False
    return True


def _in_time(task: _Task, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if time.monotonic() > task.end:
            raise task.late()
        yield chunk


def _store(task: _Task, path: Path) -> None:
    """Download from an object store or over SSH, in a thread, since not every driver has a timeout."""
    ended: list[Exception | None] = []

    def work() -> None:
        try:
            _copy(task, path)
            ended.append(None)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(0.0, task.end - time.monotonic()))
    if not ended:
        raise task.late()
    if ended[0]:
        raise ended[0]


def _copy(task: _Task, path: Path) -> None:
    """Download by fsspec, with the credentials in the user's environment."""
    import fsspec

    scheme = urlsplit(task.url).scheme
    standard = {"az": "abfs", "gcs": "gs"}.get(scheme, scheme)
    try:
        with (
            fsspec.open(task.url.replace(f"{scheme}://", f"{standard}://", 1), "rb") as source,
            path.open("wb") as file,
        ):
            chunks = iter(lambda: source.read(CHUNK), b"")
            for chunk in _in_time(task, progress.track(chunks, "download", unit="bytes", size=len)):
                file.write(chunk)
    except ImportError:
        raise task.error(f"needs a driver: `python -m pip install {DRIVERS[scheme]}`") from None
    except FileNotFoundError:
        raise task.error(f"was not found: check {task.keys.url}") from None
    except UserError:
        raise
    # Each driver has its own errors, whose texts may contain credentials.
    except Exception as error:
        raise task.error(
            f"cannot be read ({type(error).__name__}): check {task.keys.url}, and the credentials of {scheme}:// in "
            "your environment"
        ) from None
