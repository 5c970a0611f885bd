"""The one client for foreign URLs: what it refuses before it connects, and what it refuses to read."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st

from gatelodge.web.outbound import MOST_BYTES, NotFetched, Outbound, is_allowed
from tests.generated import MANY
from tests.requirements import requirement

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Place:
    """A server on loopback that answers every connection with the same bytes, and counts them."""

    def __init__(self, answer: bytes = OK, *, hangs: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self.answer, self.hangs, self.tls = answer, hangs, tls
        self.heard: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Place":
        self._server = await asyncio.start_server(self._one, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
            if self.hangs:
                await reader.read()
        writer.close()


class Names:
    """A name server that says what the test wants, one answer after another."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


def fetch(url: str, *, outbound: Outbound | None = None, **options):
    return asyncio.run((outbound or Outbound()).fetch(url, **options))


PRIVATE = [
    "10.0.0.1", "172.16.9.9", "192.168.1.1", "127.0.0.1", "127.9.9.9", "100.64.0.1", "169.254.169.254", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fc00::1", "fd12::1", "fe80::1",
    "ff02::1", "2001:db8::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe",
]  # fmt: skip


@requirement("outbound:public-only")
@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_to_no_public_address_is_never_connected_to(address: str):
    for found in ([address], ["93.184.216.34", address]):
        with pytest.raises(NotFetched, match="no public address"):
            fetch("https://idp.example/", outbound=Outbound(Names(found)))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(NotFetched, match="no public address"):
        fetch(f"https://{host}/")


@requirement("outbound:public-only")
@MANY
@given(st.ip_addresses())
@example(ipaddress.ip_address("8.8.8.8"))
def test_whatever_is_allowed_is_global_and_stays_so_in_other_clothes(address):
    if is_allowed(address, allows_private=False):
        assert address.is_global and not address.is_multicast
    if isinstance(address, ipaddress.IPv4Address):
        mapped = ipaddress.ip_address(f"::ffff:{address}")
        nat64 = ipaddress.IPv6Address(int(ipaddress.ip_address("64:ff9b::")) + int(address))
        for worn in (mapped, nat64):
            if not is_allowed(address, allows_private=True):
                assert not is_allowed(worn, allows_private=True)
            if not is_allowed(address, allows_private=False):
                assert not is_allowed(worn, allows_private=False)


@requirement("outbound:allowed-private")
def test_private_addresses_are_reached_only_where_an_administrator_said_so_and_never_metadata_services():
    async def both():
        async with Place() as place:
            url = f"http://localhost:{place.port}/x"
            answer = await Outbound().fetch(url, allows_private=True)
            assert answer.status == 200 and answer.body == b"{}"
            with pytest.raises(NotFetched, match="no public address"):
                await Outbound().fetch(url)
            assert len(place.heard) == 1

    asyncio.run(both())
    for address in ("169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::", "::ffff:169.254.169.254"):
        assert not is_allowed(ipaddress.ip_address(address), allows_private=True)
    assert is_allowed(ipaddress.ip_address("10.1.2.3"), allows_private=True)


@requirement("outbound:https")
def test_http_is_for_this_machine_alone_even_where_private_is_allowed():
    for host, address in (("idp.example", "93.184.216.34"), ("intranet.example", "10.0.0.8")):
        with pytest.raises(NotFetched, match="must be https"):
            fetch(f"http://{host}/", outbound=Outbound(Names([address])), allows_private=True)


@requirement("outbound:https")
@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/", "file:///etc/passwd", "gopher://a.example/", "//a.example/", "https://", "https://u:p@a.example/",
     "https://a.example:99999/", "https://a.example/\r\nX: y", "https://a.example\\@127.0.0.1/", "https://\uff41.example/", "",
     "https://a.example /", "javascript:alert(1)", "unix:///run/docker.sock"],
)  # fmt: skip
def test_what_is_no_plain_https_url_is_not_fetched(url: str):
    with pytest.raises(NotFetched):
        fetch(url, outbound=Outbound(Names(["93.184.216.34"])))


@requirement("outbound:rebinding")
def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_connected_to():
    async def run():
        async with Place() as place:
            names = Names(["127.0.0.1"], ["169.254.169.254"])
            answer = await Outbound(names).fetch(f"http://rebind.example:{place.port}/a?b=c", allows_private=True)
            assert answer.status == 200 and names.asked == 1
            (heard,) = place.heard
            assert heard.startswith(b"GET /a?b=c HTTP/1.1\r\n")
            assert f"host: rebind.example:{place.port}".encode() in heard.lower()

    asyncio.run(run())


@requirement("outbound:fails-closed")
def test_a_name_without_an_address_and_a_place_that_refuses_are_told_apart_and_both_refused():
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError

    with pytest.raises(NotFetched, match="has no address"):
        fetch("https://idp.example/", outbound=Outbound(nowhere))
    with pytest.raises(NotFetched, match="can't be reached"):
        fetch("http://localhost:1/", allows_private=True)
    with pytest.raises(NotFetched, match="can't be reached"):
        fetch("https://idp.example/", outbound=Outbound(Names([])))


@requirement("outbound:no-redirects")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_not_followed(status: int):
    async def run():
        async with Place() as inner:
            moved = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n"
            async with Place(moved.encode()) as place:
                with pytest.raises(NotFetched, match="redirects are not followed"):
                    await Outbound().fetch(f"http://localhost:{place.port}/", allows_private=True)
            assert inner.heard == []

    asyncio.run(run())


@requirement("outbound:bounded")
def test_an_answer_is_read_to_sixty_four_kibibytes_and_no_byte_more():
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n"

    async def run():
        async with Place(head + b"x" * MOST_BYTES) as place:
            answer = await Outbound().fetch(f"http://localhost:{place.port}/", allows_private=True)
            assert len(answer.body) == MOST_BYTES
        for longer in (head + b"x" * (MOST_BYTES + 1), chunked + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 40):
            async with Place(longer, hangs=True) as place:
                with pytest.raises(NotFetched, match="more than"):
                    await Outbound().fetch(f"http://localhost:{place.port}/", allows_private=True)

    asyncio.run(run())


@requirement("outbound:bounded")
def test_an_answer_that_was_compressed_unasked_is_refused():
    bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"

    async def run():
        async with Place(bomb) as place:
            with pytest.raises(NotFetched, match="compressed"):
                await Outbound().fetch(f"http://localhost:{place.port}/", allows_private=True)
            assert b"accept-encoding: identity" in place.heard[0].lower()

    asyncio.run(run())


@requirement("outbound:bounded")
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_a_place_that_does_not_finish_is_left_after_its_time(sent: bytes):
    async def run():
        async with Place(sent, hangs=True) as place:
            with pytest.raises(NotFetched, match=r"within 0\.3 seconds"):
                await Outbound(seconds=0.3).fetch(f"http://localhost:{place.port}/", allows_private=True)

    asyncio.run(run())


@requirement("outbound:https")
def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(tmp_path):
    server, client = certificate(tmp_path, "idp.example")

    async def run():
        async with Place(tls=server) as place:
            names = Names(["127.0.0.1"])
            good = await Outbound(names, client).fetch(f"https://idp.example:{place.port}/", allows_private=True)
            assert good.status == 200
            for outbound, host in ((Outbound(names, client), "other.example"), (Outbound(names), "idp.example")):
                with pytest.raises(NotFetched, match="can't be reached"):
                    await outbound.fetch(f"https://{host}:{place.port}/", allows_private=True)

    asyncio.run(run())


def certificate(folder, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for one name, and a client's that trusts it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = (
        made.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    (folder / "server.pem").write_bytes(pem + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode())
