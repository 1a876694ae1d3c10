import contextlib
import datetime
import hashlib
import http.server
import ipaddress
import ssl
import threading
import time

import fsspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kiln.core import download
from kiln.core.errors import UserError

BODY = bytes(range(256)) * 4000
SHA = hashlib.sha256(BODY).hexdigest()
SECRET = "hunter2"  # noqa: S105


class Server(http.server.ThreadingHTTPServer):
    """Answers each request by the next of its scripted answers, the last one for ever."""

    daemon_threads = True

    def __init__(self, *answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests = list(answers), []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path: str = "/file.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.requests.append((self.path, dict(self.headers)))
        answer(self)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


def certify(server: Server, path):
    """Let a server speak TLS with a certificate of its own, written to a path, which is returned."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kiln tests")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(pem))
    both = path.with_name("both.pem")
    both.write_bytes(private + path.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    both.unlink()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return path


def reply(status: int = 200, body: bytes = BODY, length: int | None = None, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def ranged(handler):
    """Serve what a Range asks for, as a good server does."""
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    reply(206, BODY[start:], ETag='"1"')(handler)


def stall(handler):
    reply(body=BODY[:1000], length=len(BODY), ETag='"1"')(handler)
    handler.wfile.flush()
    time.sleep(1.5)


def trickle(handler):
    reply(body=b"", length=len(BODY))(handler)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(100):
            handler.wfile.write(b"x" * 100)
            time.sleep(0.05)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(download, "BACKOFF", 0.01)
    monkeypatch.setattr(download, "READ_TIMEOUT", 0.4)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def get(tmp_path):
    def get(url: str, sha256: str = SHA, deadline: float = 20):
        return download.fetch(url, sha256, deadline, tmp_path)

    yield get
    assert not list(tmp_path.glob("*.partial"))


TRUNCATED = reply(body=BODY[:5000], length=len(BODY), ETag='"1"')


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        ([reply()], 1),
        ([reply(429, b"", Retry_After="0"), reply()], 2),
        ([reply(500, b""), reply(503, b""), reply()], 3),
        ([TRUNCATED, ranged], 2),
        ([TRUNCATED, reply()], 2),  # the server ignores Range
        ([TRUNCATED, reply(416, b""), reply()], 3),
        ([reply(body=BODY[:5000], length=len(BODY)), reply()], 2),  # no version, no Range
        ([stall, ranged], 2),
        ([reply(302, b"", Location="/other.bin"), reply()], 2),
    ],
)
def test_the_file_comes_in_the_end(get, answers, requests):
    server = Server(*answers)
    path = get(server.url())
    assert path.read_bytes() == BODY and path.name.endswith("-file.bin")
    assert len(server.requests) == requests


def test_what_was_there_is_not_asked_for_again(get):
    server = Server(TRUNCATED, ranged)
    get(server.url())
    assert server.requests[1][1]["Range"] == "bytes=5000-" and server.requests[1][1]["If-Range"] == '"1"'
    server = Server(reply(body=BODY[:5000], length=len(BODY)), reply())
    get(server.url())
    assert "Range" not in server.requests[1][1]


@pytest.mark.parametrize(
    ("answer", "says", "most"),
    [
        (reply(404, b""), "was not found: check fetch.source.url", 1),
        (reply(403, b""), "denies access", 1),
        (reply(401, b""), "requires credentials", 1),
        (reply(500, b""), "responds with status 500", download.ATTEMPTS + 1),
        (TRUNCATED, "broke off", download.ATTEMPTS),
        (reply(body=b" <!DOCTYPE html><p>log in"), "returned a web page instead of a file", 1),
        (reply(body=b"other"), "but fetch.source.sha256 says", 1),
        (reply(302, b"", Location="/file.bin"), "redirects in a loop", 40),
    ],
)
def test_failures_are_one_sentence_and_leave_nothing(get, tmp_path, answer, says, most):
    server = Server(answer)
    with pytest.raises(UserError, match=says):
        get(server.url())
    assert not list(tmp_path.iterdir()) and len(server.requests) <= most


@pytest.mark.parametrize("answer", [trickle, stall, reply(503, b"", Retry_After="3600")])
def test_the_deadline_ends_everything(get, answer):
    start = time.monotonic()
    with pytest.raises(UserError, match=r"within 0\.\d seconds: try again later, raise fetch\.source\.deadline, or"):
        get(Server(answer).url(), deadline=0.8)
    assert time.monotonic() - start < 5


def test_a_good_file_means_no_request(get):
    server = Server(reply())
    path = get(server.url())
    assert get(server.url()) == path and len(server.requests) == 1
    path.write_bytes(b"damaged")
    assert get(server.url()).read_bytes() == BODY and len(server.requests) == 2


def test_without_a_digest_the_file_is_kept_and_its_digest_told(get):
    server = Server(reply())
    with pytest.raises(UserError, match=f"has the SHA-256 {SHA}"):
        get(server.url(), sha256="")
    assert get(server.url()).read_bytes() == BODY and len(server.requests) == 1


def test_nobody_answers(get):
    server = Server(reply())
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match="does not respond"):
        get(server.url())


def test_a_proxy_from_the_environment_is_asked(get, monkeypatch):
    proxy = Server(reply())
    monkeypatch.setenv("http_proxy", f"http://user:{SECRET}@127.0.0.1:{proxy.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    get("http://images.example/file.bin")
    assert proxy.requests[0][0] == "http://images.example/file.bin"


@pytest.mark.parametrize("answer", [reply(404, b""), reply(500, b""), TRUNCATED, reply(body=b"other"), trickle])
def test_secrets_are_never_told(get, answer, capfd):
    url = Server(answer).url(f"/file.bin?sig={SECRET}#{SECRET}").replace("http://", f"http://user:{SECRET}@")
    with pytest.raises(UserError) as caught:
        get(url, deadline=0.8)
    assert SECRET not in str(caught.value) and caught.value.__suppress_context__ | (caught.value.__context__ is None)
    assert SECRET not in "".join(capfd.readouterr())


def test_object_stores_through_fsspec(get):
    fsspec.filesystem("memory").pipe("/bucket/file.bin", BODY)
    assert get("memory://bucket/file.bin").read_bytes() == BODY
    with pytest.raises(UserError, match="was not found"):
        get("memory://bucket/none.bin")


@pytest.mark.parametrize(
    ("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs"), ("ssh", "sshfs"), ("sftp", "sshfs")]
)
def test_a_missing_driver_is_named(get, scheme, package, monkeypatch):
    def missing(*arguments, **options):
        raise ImportError("no driver")

    monkeypatch.setattr(fsspec, "open", missing)
    with pytest.raises(UserError, match=f"`python -m pip install {package}`"):
        get(f"{scheme}://key:{SECRET}@bucket/file.bin")


@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "ssh"])
def test_every_scheme_is_one_that_fsspec_knows(get, scheme):
    # Of a scheme that it does not know, fsspec says so by a ValueError.
    with pytest.raises(UserError, match=r"needs a driver|cannot be read \((?!ValueError)|was not found"):
        get(f"{scheme}://user@127.0.0.1:1/file.bin")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/file.zip",
        "file:///etc/passwd",
        "data/source",
        "http://host",
        "C:\\images.zip",
        "simplecache::s3://b/x.zip",
        "memory://a/x.zip::file:///etc/passwd",
    ],
)
def test_what_is_no_address_is_refused(get, url):
    with pytest.raises(UserError, match="is not the address of a file"):
        get(url)


def test_an_address_that_cannot_be_parsed_is_refused(get):
    with pytest.raises(UserError, match="cannot be read as an address"):
        get("http://[::1/file.bin")


@pytest.mark.parametrize(
    ("location", "scheme"), [("file:///etc/passwd", "file"), ("ftp://127.0.0.1/x", "ftp"), ("http://[x", "nowhere")]
)
def test_a_redirect_out_of_http_is_not_followed(get, tmp_path, location, scheme):
    server = Server(reply(302, b"", Location=location))
    with pytest.raises(UserError, match=f"redirects from http to {scheme}, which is not followed"):
        get(server.url())
    assert len(server.requests) == 1 and not list(tmp_path.iterdir())


def test_a_redirect_from_https_to_http_is_not_followed(get, tmp_path, monkeypatch):
    plain = Server(reply())
    secure = Server(reply(302, b"", Location=plain.url()), reply())
    authority = certify(secure, tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    address = secure.url().replace("http://", "https://")
    with pytest.raises(UserError, match="redirects from https to http, which is not followed"):
        get(address)
    assert not plain.requests
    assert get(address).read_bytes() == BODY  # without the redirect it comes


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a/x", "http://b/x"),
        ("http://a/x", "https://a/x"),
        ("https://a/x", "https://b/x"),
        ("https://a/x", "/y"),
        ("https://a/x", "//b/y"),
    ],
)
def test_other_redirects_are_followed(url, target):
    download.check_redirect(url, target)


def test_a_folder_is_refused(get):
    with pytest.raises(UserError, match="is a folder: pack it"):
        get("s3://bucket/images/")


def test_a_store_that_does_not_answer_cannot_outwait_the_deadline(get, monkeypatch):
    monkeypatch.setattr(download, "_copy", lambda *_: time.sleep(5))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"within 0\.\d seconds: try again later, raise fetch\.source\.deadline, or"):
        get("ssh://host/file.bin", deadline=0.2)
    assert time.monotonic() - start < 4


def test_sentences_name_the_keys_of_their_caller(tmp_path, monkeypatch):
    keys = download.Keys("train.weights", "train.weights_sha256", "train.weights", deadline=None)

    def refusal(url: str, deadline: float = 20) -> str:
        with pytest.raises(UserError) as refused:
            download.fetch(url, SHA, deadline, tmp_path, keys)
        return str(refused.value)

    assert refusal(Server(reply(404, b"")).url()).endswith("was not found: check train.weights")
    assert "but train.weights_sha256 says" in refusal(Server(reply(body=b"other")).url())
    monkeypatch.setattr(download, "_copy", lambda *_: time.sleep(5))
    late = (
        "did not arrive within 0.2 seconds: try again later or download the file yourself and set train.weights to it"
    )
    assert refusal("ssh://host/file.bin", 0.2).endswith(late)
