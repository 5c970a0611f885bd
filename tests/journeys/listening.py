"""A client that waits for its user: a listener on this machine that keeps what the browser brings, with TLS or without."""

import contextlib
import datetime as dt
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SECONDS = 15


class Listener:
    """``port`` is where it listens; ``received`` hands out the path and query of each request to /callback."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.port: int = server.server_address[1]
        self._queue: queue.Queue[str] = queue.Queue()
        server.received = self._queue  # type: ignore[attr-defined]

    def received(self) -> str:
        """The next request's path and query; the test fails when none comes."""
        return self._queue.get(timeout=SECONDS)

    def got_nothing(self) -> bool:
        return self._queue.empty()


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/callback"):
            self.server.received.put(self.path)  # type: ignore[attr-defined]
        body = b"<!doctype html><title>Connected</title><link rel=icon href=data:,><p>Connected."
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


class _Six(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextlib.contextmanager
def listening(host: str = "127.0.0.1", *, tls: Path | None = None) -> Iterator[Listener]:
    """Listen on a free port of this address; ``tls`` is a folder for the certificate."""
    server = (_Six if ":" in host else ThreadingHTTPServer)((host, 0), _Answer)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(tls))
        # The handshake happens in the connection's own thread: browsers open connections that they may never use.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Listener(server)
    server.shutdown()
    thread.join(SECONDS)
    server.server_close()


def _certificate(folder: Path) -> Path:
    """A certificate for client.example that it signed itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client.example")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("client.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "client.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file
