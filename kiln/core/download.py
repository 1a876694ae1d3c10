"""Downloads that end in the very file that was pinned, or in one sentence."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
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


def shown(url: str) -> str:
    """Give a URL as it may be printed: scheme, host and path, without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def fetch(url: str, sha256: str, deadline: float, folder: Path = FOLDER) -> Path:
    """Return a local copy of a file whose digest is pinned; without a request where there is a good one.

    Args:
        url: http(s)://, or s3://, gs://, az://, ssh:// with the user's own credentials.
        sha256: 64 hex digits; where empty, the file is kept and its digest told.
        deadline: seconds for everything, retries included.
        folder: where copies are kept.

    Raises:
        UserError: the file cannot be had, or is another one; nothing of it stays.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UserError("fetch.source.url cannot be read as an address: check its brackets") from None
    # fsspec would take "::" for a chain of file systems, the local one among them.
    chained = parts.scheme in DRIVERS and "::" in url
    if chained or parts.scheme not in ("http", "https", *DRIVERS) or not parts.path.strip("/"):
        known = ", ".join(f"{scheme}://" for scheme in ("http", "https", "s3", "gs", "az", "ssh"))
        raise UserError(f"fetch.source.url {shown(url)} is no address of a file: it should start with one of {known}")
    if parts.path.endswith("/"):
        raise UserError(
            f"fetch.source.url {shown(url)} is a folder: pack it as one archive, or run "
            "`dvc import-url` into data/source and set fetch.source.url to nothing"
        )
    name = re.sub(r"[^\w.-]", "_", parts.path.rsplit("/", 1)[-1])[-80:]
    path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
    if not path.is_file() or (sha256 and files.sha256(path) != sha256):
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        try:
            transfer = _http if parts.scheme.startswith("http") else _store
            transfer(url, partial, time.monotonic() + deadline)
            _check(url, partial, sha256)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
    if not sha256:
        raise UserError(
            f"fetch.source.sha256 is empty, and {shown(url)} has the SHA-256 {files.sha256(path)}: if that is what its "
            "publisher says, set fetch.source.sha256 to it; the file is kept, so nothing is downloaded again"
        )
    return path


def check_redirect(url: str, target: str) -> None:
    """Refuse a redirect that leaves http(s), or falls from https to http.

    Args:
        url: of the answer.
        target: where it points, perhaps relative.

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
            f"{shown(url)} redirects from {before} to {after:.20}, which is not followed: set fetch.source.url to "
            "where the file itself lies, or download it yourself and set fetch.path to it"
        )


def _check(url: str, path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        start = file.read(256).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise UserError(
            f"{shown(url)} gave a web page instead of a file, perhaps a login or an error page: open the address in a "
            "browser and set fetch.source.url to the file itself"
        )
    found = files.sha256(path)
    if sha256 and found != sha256:
        raise UserError(
            f"{shown(url)} has the SHA-256 {found}, but fetch.source.sha256 says {sha256}: the file has changed or "
            "is not the one you mean; nothing of it was kept"
        )


def _late(url: str) -> UserError:
    return UserError(
        f"{shown(url)} was not there after fetch.source.deadline: try again later, give it more seconds, or download "
        "the file yourself and set fetch.path to it"
    )


def _http(url: str, path: Path, end: float) -> None:
    """Download over HTTP; what breaks off in the middle goes on from there where the server can."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Patient(Retry):
        """Pauses as urllib3 does, but not beyond the deadline."""

        def sleep(self, response=None):
            asked = self.get_retry_after(response) if response else None
            if time.monotonic() + (self.get_backoff_time() if asked is None else asked) > end:
                raise _late(url)
            super().sleep(response)

    class Cautious(requests.Session):
        """Follows no redirect to another scheme, nor from https to what anyone on the way can change."""

        def get_redirect_target(self, response):
            target = super().get_redirect_target(response)
            if target is not None:
                check_redirect(response.url, target)
            return target

    patient = Patient(total=ATTEMPTS, backoff_factor=BACKOFF, status_forcelist=RETRIED, raise_on_status=False)
    with Cautious() as session:
        session.mount("http://", HTTPAdapter(max_retries=patient))
        session.mount("https://", HTTPAdapter(max_retries=patient))
        tag = None
        for attempt in range(ATTEMPTS):
            try:
                response = _ask(session, url, path, tag)
            except requests.exceptions.TooManyRedirects:
                raise UserError(f"{shown(url)} redirects in a circle: check fetch.source.url") from None
            except requests.exceptions.SSLError:
                raise UserError(f"{shown(url)}: its certificate cannot be verified: check fetch.source.url") from None
            except requests.exceptions.RequestException:
                raise UserError(
                    f"{shown(url)} does not answer: check fetch.source.url and the network, or download the file "
                    "yourself and set fetch.path to it"
                ) from None
            tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
            with response:
                if _receive(url, response, path, end):
                    return
            pause = BACKOFF * 2**attempt
            if time.monotonic() + pause > end:
                raise _late(url)
            time.sleep(pause)
    raise UserError(
        f"{shown(url)} broke off {ATTEMPTS} times: try again later, or set fetch.path to a copy of your own"
    )


def _ask(session, url: str, path: Path, tag: str | None):
    """Ask for the file, or for what is missing of it where the server has named its version."""
    headers = {"Accept-Encoding": "identity"}
    have = path.stat().st_size if path.exists() else 0
    if have and tag and not tag.startswith("W/"):
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    response = session.get(url, headers=headers, stream=True, timeout=READ_TIMEOUT)
    if response.status_code == 416:
        path.unlink()
        response = session.get(url, headers={"Accept-Encoding": "identity"}, stream=True, timeout=READ_TIMEOUT)
    if response.status_code in (200, 206):
        return response
    response.close()
    what = {
        401: "wants credentials: put them into ~/.netrc, or download the file yourself and set fetch.path to it",
        403: "refuses access: ask its owner, or download the file yourself and set fetch.path to it",
        404: "is not there: check fetch.source.url",
        410: "is gone: check fetch.source.url",
    }.get(
        response.status_code, f"answers with status {response.status_code}: try again later, or check fetch.source.url"
    )
    raise UserError(f"{shown(url)} {what}")


def _receive(url: str, response, path: Path, end: float) -> bool:
    """Write what comes; tell whether it is all."""
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
            for chunk in _in_time(url, progress.track(chunks, "download", total, "bytes", size=len), end):
                file.write(chunk)
                done += len(chunk)
        except HTTPError:
            return False
    return True


def _in_time(url: str, chunks: Iterator[bytes], end: float) -> Iterator[bytes]:
    for chunk in chunks:
        if time.monotonic() > end:
            raise _late(url)
        yield chunk


def _store(url: str, path: Path, end: float) -> None:
    """Download from an object store or over SSH, in a thread, since not every driver ends its own waiting."""
    ended: list[Exception | None] = []

    def work() -> None:
        try:
            _copy(url, path, end)
            ended.append(None)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(0.0, end - time.monotonic()))
    if not ended:
        raise _late(url)
    if ended[0]:
        raise ended[0]


def _copy(url: str, path: Path, end: float) -> None:
    """Download by fsspec, with the credentials that the user's environment holds."""
    import fsspec

    scheme = urlsplit(url).scheme
    standard = {"az": "abfs", "gcs": "gs"}.get(scheme, scheme)
    try:
        with fsspec.open(url.replace(f"{scheme}://", f"{standard}://", 1), "rb") as source, path.open("wb") as file:
            chunks = iter(lambda: source.read(CHUNK), b"")
            for chunk in _in_time(url, progress.track(chunks, "download", unit="bytes", size=len), end):
                file.write(chunk)
    except ImportError:
        driver = DRIVERS[scheme]
        raise UserError(f"fetch.source.url {shown(url)} needs a driver: `python -m pip install {driver}`") from None
    except FileNotFoundError:
        raise UserError(f"{shown(url)} is not there: check fetch.source.url") from None
    except UserError:
        raise
    # Each driver has errors of its own, whose texts may hold credentials.
    except Exception as error:
        raise UserError(
            f"{shown(url)} cannot be read ({type(error).__name__}): check fetch.source.url, and the credentials of "
            f"{scheme}:// in your environment"
        ) from None
