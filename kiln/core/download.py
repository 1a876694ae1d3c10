"""Downloads that end in the very file that was pinned, or in one sentence."""

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
# What fsspec needs for each scheme, besides itself.
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
    """The keys of params.yaml that sentences name.

    Attributes:
        url: holds the address.
        sha256: holds the digest.
        path: may name a local file instead.
        deadline: holds the seconds for everything; None where they are fixed.
    """

    url: str = "fetch.source.url"
    sha256: str = "fetch.source.sha256"
    path: str = "fetch.path"
    deadline: str | None = "fetch.source.deadline"


@dataclass(frozen=True)
class _Task:
    """A download: its address, the seconds for everything, when they end (monotonic), and what sentences call keys."""

    url: str
    deadline: float
    end: float
    keys: Keys

    def error(self, says: str) -> UserError:
        """Build an error about the address."""
        return UserError(f"{shown(self.url)} {says}")

    def late(self) -> UserError:
        """Build the error for a deadline that has passed."""
        longer = f", raise {self.keys.deadline}," if self.keys.deadline else ""
        return self.error(
            f"did not arrive within {self.deadline:g} seconds: try again later{longer} or {self.by_hand()}"
        )

    def by_hand(self) -> str:
        """Say how to do without a download."""
        return f"download the file yourself and set {self.keys.path} to it"


FETCH_KEYS = Keys()


def shown(url: str) -> str:
    """Give a URL as it may be printed: scheme, host and path, without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def fetch(url: str, sha256: str, deadline: float, folder: Path = FOLDER, keys: Keys = FETCH_KEYS) -> Path:
    """Return a local copy of a file whose digest is pinned; without a request where there is a good one.

    Args:
        url: http(s)://, or s3://, gs://, az://, ssh:// with the user's own credentials.
        sha256: 64 hex digits; where empty, the file is kept and an error gives its digest.
        deadline: seconds for everything, retries included.
        folder: where copies are kept.
        keys: what sentences call the params.

    Raises:
        UserError: the file cannot be had, or is another one; nothing of it stays.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UserError(f"{keys.url} cannot be read as an address: check its brackets") from None
    # fsspec would take "::" for a chain of file systems, the local one among them.
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
    """Refuse a redirect that leaves http(s), or falls from https to http.

    Args:
        url: of the answer.
        target: where it points, perhaps relative.
        keys: what sentences call the params.

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
            "gave a web page instead of a file, perhaps a login or an error page: open the address in a browser and "
            f"set {task.keys.url} to the file itself"
        )
    actual = files.sha256(path)
    if sha256 and actual != sha256:
        raise task.error(
            f"has the SHA-256 {actual}, but {task.keys.sha256} says {sha256}: the file has changed or is not the one "
            "you mean; nothing of it was kept"
        )


def _http(task: _Task, path: Path) -> None:
    """Download over HTTP; what breaks off in the middle goes on from there where the server can."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Patient(Retry):
        """Pauses as urllib3 does, but not beyond the deadline."""

        def sleep(self, response=None):
            asked = self.get_retry_after(response) if response else None
            if time.monotonic() + (self.get_backoff_time() if asked is None else asked) > task.end:
                raise task.late()
            super().sleep(response)

    class Cautious(requests.Session):
        """Follows no redirect to another scheme, nor from https to what anyone on the way can change."""

        def get_redirect_target(self, response):
            target = super().get_redirect_target(response)
            if target is not None:
                check_redirect(response.url, target, task.keys)
            return target

    patient = Patient(total=ATTEMPTS, backoff_factor=BACKOFF, status_forcelist=RETRIED, raise_on_status=False)
    with Cautious() as session:
        session.mount("http://", HTTPAdapter(max_retries=patient))
        session.mount("https://", HTTPAdapter(max_retries=patient))
        tag = None
        for attempt in range(ATTEMPTS):
            try:
                response = _ask(session, task, path, tag)
            except requests.exceptions.TooManyRedirects:
                raise task.error(f"redirects in a circle: check {task.keys.url}") from None
            except requests.exceptions.SSLError:
                raise task.error(f"has a certificate that cannot be verified: check {task.keys.url}") from None
            except requests.exceptions.RequestException:
                raise task.error(
                    f"does not answer: check {task.keys.url} and the network, or {task.by_hand()}"
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
    """Ask for the file, or for what is missing of it where the server has named its version."""
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
    says = {
        401: f"wants credentials: put them into ~/.netrc, or {task.by_hand()}",
        403: f"refuses access: ask its owner, or {task.by_hand()}",
        404: f"is not there: check {task.keys.url}",
        410: f"is gone: check {task.keys.url}",
    }
    other = f"answers with status {response.status_code}: try again later, or check {task.keys.url}"
    raise task.error(says.get(response.status_code, other))


def _receive(task: _Task, response, path: Path) -> bool:
    """Write what arrives; return whether it is complete."""
    from urllib3.exceptions import HTTPError

    going_on = response.status_code == 206
    done = path.stat().st_size if going_on else 0
    length = response.headers.get("Content-Length", "")
    total = done + int(length) if length.isdigit() else None
    files.need_room(path.parent, total - done if total else 0)
    with path.open("ab" if going_on else "wb") as file:
        try:
            # read1 returns what is there, so that a trickle cannot outwait the deadline.
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
    """Download from an object store or over SSH, in a thread, since not every driver ends its own waiting."""
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
    """Download by fsspec, with the credentials that the user's environment holds."""
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
        raise task.error(f"is not there: check {task.keys.url}") from None
    except UserError:
        raise
    # Each driver has errors of its own, whose texts may hold credentials.
    except Exception as error:
        raise task.error(
            f"cannot be read ({type(error).__name__}): check {task.keys.url}, and the credentials of {scheme}:// in "
            "your environment"
        ) from None
