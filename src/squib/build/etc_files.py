"""The files of /etc that the C library, OpenSSL and Python's own library read: names of users, services, types and authorities.

They are squib's own and alike on every building machine, but for the certificates, which are the building machine's: whom it
trusts is its user's decision.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from squib.model.tree import Entry, File, Symlink

__all__ = ["CERTIFICATES", "SERVER_ID", "authorities", "certificates", "entries"]

SERVER_ID = 65532
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian's programs look, and what libraries that bring an OpenSSL of their own try first."""

_BUNDLES = (
    CERTIFICATES,  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)

_USERS = f"root:x:0:0:root:/:\nsquib:x:{SERVER_ID}:{SERVER_ID}:the server process:/tmp:\n"
_GROUPS = f"root:x:0:\nsquib:x:{SERVER_ID}:\n"
_SWITCH = "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n"
# IANA's numbers, of those names that clients and servers ask for.
_PROTOCOLS = (
    ("ip", 0), ("icmp", 1), ("igmp", 2), ("tcp", 6), ("udp", 17), ("ipv6", 41), ("gre", 47), ("esp", 50), ("ah", 51),
    ("ipv6-icmp", 58), ("sctp", 132),
)  # fmt: skip
_SERVICES = (
    ("echo", 7, "tcp udp"), ("discard", 9, "tcp udp"), ("daytime", 13, "tcp"), ("ftp-data", 20, "tcp"), ("ftp", 21, "tcp"),
    ("ssh", 22, "tcp"), ("telnet", 23, "tcp"), ("smtp", 25, "tcp"), ("time", 37, "tcp udp"), ("domain", 53, "tcp udp"),
    ("bootps", 67, "udp"), ("bootpc", 68, "udp"), ("tftp", 69, "udp"), ("http", 80, "tcp"), ("kerberos", 88, "tcp udp"),
    ("pop3", 110, "tcp"), ("nntp", 119, "tcp"), ("ntp", 123, "udp"), ("imap2", 143, "tcp"), ("imap", 143, "tcp"),
    ("snmp", 161, "tcp udp"), ("ldap", 389, "tcp udp"), ("https", 443, "tcp udp"), ("submissions", 465, "tcp"),
    ("syslog", 514, "udp"), ("submission", 587, "tcp"), ("ldaps", 636, "tcp udp"), ("domain-s", 853, "tcp udp"),
    ("ftps", 990, "tcp"), ("imaps", 993, "tcp"), ("pop3s", 995, "tcp"), ("socks", 1080, "tcp"), ("ms-sql-s", 1433, "tcp"),
    ("mqtt", 1883, "tcp"), ("nfs", 2049, "tcp udp"), ("mysql", 3306, "tcp"), ("stun", 3478, "tcp udp"),
    ("sip", 5060, "tcp udp"),
    ("xmpp-client", 5222, "tcp"), ("mdns", 5353, "udp"), ("postgresql", 5432, "tcp"), ("amqps", 5671, "tcp"),
    ("amqp", 5672, "tcp"),
    ("redis", 6379, "tcp"), ("http-alt", 8080, "tcp udp"), ("secure-mqtt", 8883, "tcp"),
)  # fmt: skip
# What Python's own table lacks in one of the versions that squib takes (Lib/mimetypes.py).
_TYPES = (
    ("application/manifest+json", "webmanifest"), ("application/wasm", "wasm"), ("application/toml", "toml"),
    ("application/yaml", "yaml yml"),
    ("application/gzip", "gz"), ("application/epub+zip", "epub"), ("application/geo+json", "geojson"),
    ("application/ld+json", "jsonld"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("audio/aac", "aac"), ("audio/flac", "flac"), ("audio/mp4", "m4a"), ("audio/ogg", "oga ogg opus"), ("font/otf", "otf"),
    ("font/ttf", "ttf"), ("font/woff", "woff"), ("font/woff2", "woff2"), ("image/avif", "avif"), ("image/heic", "heic"),
    ("image/jxl", "jxl"), ("image/webp", "webp"), ("text/calendar", "ics"), ("text/javascript", "js mjs"),
    ("text/markdown", "md markdown"),
    ("text/vtt", "vtt"), ("video/mp2t", "ts"), ("video/ogg", "ogv"), ("video/webm", "webm"), ("video/x-matroska", "mkv"),
)  # fmt: skip


def entries() -> Iterator[Entry]:
    """Those that every image has."""
    yield File("/etc/passwd", _USERS.encode(), why="names of root and of the server's user")
    yield File("/etc/group", _GROUPS.encode(), why="names of their groups")
    yield File("/etc/nsswitch.conf", _SWITCH.encode(), why="where the C library looks up names")
    protocols = "".join(f"{name} {number}\n" for name, number in _PROTOCOLS)
    yield File("/etc/protocols", protocols.encode(), why="getprotobyname")
    services = "".join(f"{name} {port}/{protocol}\n" for name, port, over in _SERVICES for protocol in over.split())
    yield File("/etc/services", services.encode(), why="getservbyname, and getaddrinfo with a service's name")
    types = "".join(f"{type_} {endings}\n" for type_, endings in _TYPES)
    yield File("/etc/mime.types", types.encode(), why="types that the module mimetypes does not know by itself")


def authorities() -> Path | None:
    """This machine's file of certificates; None where it has none."""
    return next((path.resolve() for path in map(Path, _BUNDLES) if path.is_file()), None)


def certificates(data: bytes) -> Iterator[Entry]:
    """`data`, a file of certificates, at its place, and at that where the interpreter's own OpenSSL looks."""
    why = "the authorities that TLS clients trust: those of the building machine"
    yield File(CERTIFICATES, data, why=why)
    default = os.path.normpath(ssl.get_default_verify_paths().openssl_cafile)
    if default.startswith("/") and default != CERTIFICATES:
        yield Symlink(default, CERTIFICATES, why="where the interpreter's OpenSSL looks for them")
