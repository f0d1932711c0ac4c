"""The strict grammar of a request's lines (RFC 9110, RFC 9112, RFC 3986): each function returns or raises `Refusal`.

Byte classes are checked by `bytes.translate(None, CLASS)`, which leaves what is not in the class: one pass in C, and no regular
expressions to import.
"""

from __future__ import annotations

_ALPHA = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGIT = b"0123456789"
HEX_DIGITS = _DIGIT + b"ABCDEFabcdef"
TOKEN = _ALPHA + _DIGIT + b"!#$%&'*+-.^_`|~"  # RFC 9110 §5.6.2
FIELD = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # RFC 9110 §5.5: field-vchar, SP, HTAB
_SUB_DELIMS = b"!$&'()*+,;="
_UNRESERVED = _ALPHA + _DIGIT + b"-._~"
_REG_NAME = _UNRESERVED + _SUB_DELIMS + b"%"
# RFC 3986, and what browsers send as it is (URL Standard, query percent-encode set): refusing them breaks links.
TARGET = _UNRESERVED + _SUB_DELIMS + b":@/?%" + b"[\\]{|}^`"
# A table that is given whole is quicker than one that is made from a class each time: NUL for what a target may not have.
_TARGET_OR_NUL = bytes(c if c in TARGET else 0 for c in range(256))

METHODS = {
    name.encode(): name
    for name in (
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT",
        "ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY",
        "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "QUERY", "REBIND", "REPORT",
        "SEARCH", "SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
    )
}  # fmt: skip
"""Methods that are served: those llhttp knows for HTTP."""


class Refusal(Exception):  # noqa: N818 - an answer to a client, not a mistake of this program
    """A request is answered with `status` and the connection closed; `str()` says why. `bodiless`: it was a HEAD."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.bodiless = False


def request_line(line: bytes) -> tuple[str, bytes, int]:
    """Method, target and minor version (0 or 1) of a request line without its line end."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise Refusal(400, "a request line is a method, a target and a version, one space apart")
    method, target, version = parts
    known = METHODS.get(method)
    if known is None and (not method or method.translate(None, TOKEN)):
        raise Refusal(400, "the method is not a token")
    if target != b"/" and (not target or 0 in target.translate(_TARGET_OR_NUL)):
        raise Refusal(400, "the request target has a character that it may not have")
    minor = 1 if version == b"HTTP/1.1" else _minor_version(version)
    if known is None:
        raise Refusal(501, "the method is not known")
    if target[0] != 0x2F or known == "CONNECT":  # not origin-form
        _other_form(known, target)
    return known, target, minor


def too_long(start: bytes) -> Refusal:
    """For a request line that is too long and starts with `start` (RFC 9112 §3: a method that is not served is told first)."""
    method = start.partition(b" ")[0]
    if not method or method.translate(None, TOKEN):
        return Refusal(400, "the method is not a token")
    if method not in METHODS:
        return Refusal(501, "the method is not known")
    return Refusal(414, "the request line is too long")


def _minor_version(version: bytes) -> int:
    if version == b"HTTP/1.0":
        return 0
    if len(version) != 8 or not version.startswith(b"HTTP/") or version[6] != 0x2E or version[5::2].translate(None, _DIGIT):
        raise Refusal(400, "the version is not HTTP/D.D")
    if version[5] != 0x31:
        raise Refusal(505, "only HTTP/1 is spoken here")
    return 1  # RFC 9110 §2.5: a higher minor version is read as the highest that is known


def _other_form(method: str, target: bytes) -> None:
    """Asterisk-form and absolute-form (RFC 9112 §3.2); CONNECT, and so authority-form, is not allowed whatever it names."""
    if method == "CONNECT":
        raise Refusal(405, "this is no proxy")
    if target == b"*":
        if method != "OPTIONS":
            raise Refusal(400, "the target * belongs to OPTIONS")
        return
    scheme, separator, rest = target.partition(b"://")
    authority = rest.partition(b"/")[0].partition(b"?")[0]
    if not separator or scheme.lower() not in (b"http", b"https") or not authority or not is_host(authority):
        raise Refusal(400, "the request target has none of the four forms")


def is_host(value: bytes) -> bool:
    """Whether `value` is a Host field's value: uri-host [ ":" port ], also empty (RFC 9110 §7.2, RFC 3986 §3.2.2)."""
    if value.startswith(b"["):
        literal, bracket, port = value[1:].partition(b"]")
        if not bracket or not _is_ip_literal(literal) or (port and port[0] != 0x3A):
            return False
        return not port[1:].translate(None, _DIGIT)
    host, colon, port = value.partition(b":")
    if host.translate(None, _REG_NAME) or (port and not port.isdigit()):
        return False
    if colon and not host:
        return False
    return b"%" not in host or all(len(part) >= 2 and not part[:2].translate(None, HEX_DIGITS) for part in host.split(b"%")[1:])


def _is_ip_literal(literal: bytes) -> bool:
    """What stands between the brackets: IPv6address or IPvFuture; RFC 3986 has no zone."""
    if literal[:1] in (b"v", b"V"):
        version, dot, rest = literal[1:].partition(b".")
        future = version and dot and rest and not version.translate(None, HEX_DIGITS)
        return bool(future and not rest.translate(None, _UNRESERVED + _SUB_DELIMS + b":"))
    before, gap, behind = literal.partition(b"::")
    if not gap:
        return _ipv6_groups(literal, last=True) == 8
    groups = _ipv6_groups(before, last=False), _ipv6_groups(behind, last=True)
    return min(groups) >= 0 and sum(groups) <= 7  # the gap is one group at least


def _ipv6_groups(text: bytes, *, last: bool) -> int:
    """How many groups of 16 bits `text` has, -1 where it is no such list; the `last` ones may end in an IPv4 address."""
    if not text:
        return 0
    groups = text.split(b":")
    count = len(groups)
    if last and b"." in groups[-1]:
        if not _is_ipv4(groups.pop()):
            return -1
        count += 1
    return count if all(1 <= len(group) <= 4 and not group.translate(None, HEX_DIGITS) for group in groups) else -1


def _is_ipv4(text: bytes) -> bool:
    octets = text.split(b".")
    return len(octets) == 4 and all(
        octet.isdigit() and len(octet) <= 3 and int(octet) <= 255 and (octet == b"0" or octet[0] != 0x30) for octet in octets
    )


def list_elements(values: list[bytes]) -> list[bytes]:
    """The elements of a list field that came in `values`, the empty ones left out (RFC 9110 §5.6.1.2)."""
    elements = (element.strip(b" \t") for element in b",".join(values).split(b","))
    return [element for element in elements if element]


def transfer_codings(values: list[bytes]) -> list[bytes]:
    """The names of Transfer-Encoding's codings, in lower case (RFC 9110 §10.1.4); one with parameters has a `;` behind it.

    So nothing is taken for `chunked` that is not quite that: it has no parameters (RFC 9112 §7.1).
    """
    names: list[bytes] = []
    text = b",".join(values).lstrip(b", \t")
    while text:
        rest, found = _skip_token(text)
        behind, whole = _skip_parameters(rest)
        names.append(text[: len(text) - len(rest)].lower() + b";" * (len(behind) < len(rest)))
        text = behind.lstrip(b" \t")
        if not found or not whole or (text and text[0] != 0x2C):
            raise Refusal(400, "a transfer coding is a token, with parameters or without")
        text = text.lstrip(b", \t")
    return names


def field_line(line: bytes) -> tuple[bytes, bytes]:
    """Lower-case name and value of a field line without its line end (RFC 9112 §5)."""
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        raise Refusal(400, "a header line begins with white space")
    if not colon or not name or name.translate(None, TOKEN):
        raise Refusal(400, "a header's name is a token with a colon right after it")
    if value.translate(None, FIELD):
        raise Refusal(400, "a header has a control character")
    return name.lower(), value.strip(b" \t")


def partial_line(line: bytes) -> None:
    """What has come of a line whose CRLF has not: refuses what no line can hold, so that nobody waits for more of it."""
    if line.endswith(b"\r"):
        line = line[:-1]
    if line.translate(None, FIELD):
        raise Refusal(400, "a line holds a control character, or ends in something else than CRLF")


def chunk_size(line: bytes) -> tuple[int, int]:
    """Size of a chunk and how many bytes its extensions have, of a chunk's first line (RFC 9112 §7.1)."""
    digits = line.partition(b";")[0]
    extensions = line[len(digits) :]
    if extensions:
        digits = digits.rstrip(b" \t")  # BWS may stand before the semicolon, not before the line's end
    if not digits or digits.translate(None, HEX_DIGITS):
        raise Refusal(400, "a chunk's size is a hexadecimal number")
    significant = digits.lstrip(b"0")
    if len(significant) > 15:
        raise Refusal(413, "the body is too large")
    if extensions:
        _chunk_extensions(extensions)
    return int(significant or b"0", 16), len(extensions)


def _chunk_extensions(text: bytes) -> None:
    """RFC 9112 §7.1.1."""
    if text.translate(None, FIELD):
        raise Refusal(400, "a chunk extension has a control character")
    behind, found = _skip_parameters(text)
    if behind or not found:
        raise Refusal(400, "a chunk extension is a name, or a name and a value")


def _skip_parameters(text: bytes) -> tuple[bytes, bool]:
    """What is behind *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), and whether each is whole."""
    found = True
    while found and (rest := text.lstrip(b" \t")).startswith(b";"):
        text, found = _skip_token(rest[1:].lstrip(b" \t"))
        rest = text.lstrip(b" \t")
        if found and rest.startswith(b"="):
            text, found = _skip_value(rest[1:].lstrip(b" \t"))
    return text, found


def _skip_token(text: bytes) -> tuple[bytes, bool]:
    rest = text.lstrip(TOKEN)
    return rest, len(rest) < len(text)


def _skip_value(text: bytes) -> tuple[bytes, bool]:
    if not text.startswith(b'"'):
        return _skip_token(text)
    at = 1
    while at < len(text) and text[at] != 0x22:
        at += 2 if text[at] == 0x5C else 1
    return text[at + 1 :], at < len(text)
