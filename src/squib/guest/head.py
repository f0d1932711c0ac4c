"""A request's head: its bytes in, a `Head` or a `Refusal` out (RFC 9112 §§2–6, RFC 9110 §§7, 8.6, 10.1.1).

A strict look at the bytes comes first: every line ends in CRLF, no control characters, a request line of our own grammar. Then
llhttp reads the header lines, which is the quick way to see that each is a name, a colon and a value. Where it objects, the
grammar goes line by line and decides; the grammar also looks at a head that comes in pieces, so that an error is answered as
soon as it is there.

llhttp remembers what it has read: some fields change what its parser takes next, also fields that HTTP does not know
(Proxy-Connection). So each head has a parser of its own, and what a client sent reaches no other message, its own next one
included. What the fields mean for the message's framing is read here and nowhere else. llhttp calls nothing back: most requests
have only a Host that matters here, which the bytes tell at once, and the other lines are cut when somebody looks at them.
"""

from __future__ import annotations

from squib.guest.grammar import (
    FIELD,
    Refusal,
    field_line,
    is_host,
    list_elements,
    partial_line,
    request_line,
    too_long,
    transfer_codings,
)
from squib.guest.llhttp import HttpParserError, HttpParserUpgrade, HttpRequestParser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from squib.guest.limits import Limits

Field = tuple[bytes, bytes]

CHUNKED = -1
KNOWN_BYTES = 1024  # of header lines; longer ones are read anew each time
_ANY_LINE = b"GET / HTTP/1.1\r\n"
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"))
_MAX_LENGTH_DIGITS = 18
# Lower case; NUL for what FIELD (squib.guest.grammar) does not have, CR and LF apart.
_FOLD = bytes(c + 0x20 if 0x41 <= c <= 0x5A else 0 if c == 0x7F or (c < 0x20 and c not in b"\t\r\n") else c for c in range(256))


class Head:
    """A good head. `lines` are its header lines and the empty one.

    `length` is the body's, CHUNKED, or 0; `awaits_continue`: the client waits for a 100.

    Going through it gives its fields, cut each time: most handlers never look.
    """

    __slots__ = ("awaits_continue", "keep_alive", "length", "lines", "method", "minor", "target")

    def __init__(self, method: str, target: bytes, minor: int, lines: bytes) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.lines = lines
        self.length = 0
        self.keep_alive = minor == 1
        self.awaits_continue = False

    def __iter__(self) -> Iterator[Field]:
        for line in self.lines.splitlines()[:-1]:
            name, _, value = line.partition(b":")
            yield name.lower(), value.strip(b" \t")

    @property
    def fields(self) -> list[Field]:
        """(lower-case name, value) in the order they came in."""
        return list(self)


class HeadReader:
    """Reads the heads of one connection, each whole.

    What header lines mean depends on their bytes and the version alone, and a client sends the same ones with each of its
    requests, or ones of which only some values differ. So the last good ones of HTTP/1.1 that say nothing of the framing but a
    Host are known by their bytes.
    """

    __slots__ = ("_host", "_known", "_limits", "_small")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._small = min(limits.request_line_bytes, limits.header_bytes)
        self._known = b""
        self._host = b""  # the last that was found valid

    def read(self, head: bytes) -> Head:
        """The head in `head`, which goes up to and including its empty line. Raises Refusal."""
        line, _, lines = head.partition(b"\r\n")
        if (lines == self._known or self._are_like_known(lines)) and len(line) <= self._limits.request_line_bytes:
            method, target, minor = request_line(line)
            if minor:
                return Head(method, target, 1, self._known)
        return self._read_all(head, line, lines)

    def _are_like_known(self, lines: bytes) -> bool:
        """Whether only values differ, of fields that say nothing of the framing, as a cookie; they are known from now on."""
        if not self._known or len(lines) > min(KNOWN_BYTES, self._limits.header_bytes + 2):
            return False
        before, now = self._known.split(b"\r\n"), lines.split(b"\r\n")
        if len(before) != len(now):
            return False
        for old, new in zip(before, now, strict=True):
            if old != new:
                name, colon, value = new.partition(b":")
                if not colon or not old.startswith(name + colon) or name.lower() in _FRAMING or value.translate(None, FIELD):
                    return False
        self._known = lines
        return True

    def _read_all(self, head: bytes, line: bytes, lines: bytes) -> Head:
        folded = head.translate(_FOLD)
        cut = head.splitlines()  # at a CR and at an LF, too: there is one for each CRLF only where each is of a pair
        ends = head.count(b"\r\n")
        if (
            (len(head) > self._small and self._is_too_long(head, len(line)))
            or ends - 2 > self._limits.header_fields
            or len(cut) != ends
            or 0 in folded
        ):
            self.check_lines(head[:-2], 0, 0)
            raise Refusal(400, "the request is malformed")
        method, target, minor = request_line(line)
        if not _llhttp_agrees(lines):
            for one in cut[1:-1]:
                field_line(one)
        read = Head(method, target, minor, lines)
        if minor == 0 or not _has_only_a_host(folded):
            _understand(read, [field for field in read if field[0] in _FRAMING], self._limits.body_bytes)
        else:
            at = folded.find(b"\r\nhost:") + 7
            host = head[at : head.find(b"\r\n", at)]
            if host != self._host:
                _check_hosts(read, [host.strip(b" \t")])
                self._host = host if len(host) <= KNOWN_BYTES else b""
            if len(lines) <= KNOWN_BYTES:
                self._known = lines
        return read

    def _is_too_long(self, head: bytes, line_end: int) -> bool:
        limits = self._limits
        return line_end > limits.request_line_bytes or len(head) - line_end - 4 > limits.header_bytes

    def check_lines(self, data: bytes, checked: int, lines: int) -> tuple[int, int]:
        """Looks at the lines of a head that is not whole; raises Refusal where it cannot become a good one.

        `lines` lines, up to the offset `checked`, are known to be good; gives both anew.
        """
        limits = self._limits
        while (end := data.find(b"\r\n", checked)) >= 0:
            line = data[checked:end]
            if lines == 0:
                if len(line) > limits.request_line_bytes:
                    raise too_long(line[: limits.request_line_bytes + 1])
                request_line(line)
            else:
                if lines > limits.header_fields:
                    raise Refusal(431, "there are too many header lines")
                if end + 2 - data.find(b"\r\n") - 2 > limits.header_bytes:
                    raise Refusal(431, "the header lines are too long")
                field_line(line)
            lines += 1
            checked = end + 2
        self._check_rest(data, checked, lines)
        return checked, lines

    def _check_rest(self, data: bytes, checked: int, lines: int) -> None:
        """The line that is not whole; a CR at its end may belong to its CRLF."""
        rest = data[checked:]
        if lines == 0:
            if len(rest) > self._limits.request_line_bytes + 1:
                raise too_long(rest[: self._limits.request_line_bytes + 1])
        elif len(data) - data.find(b"\r\n") - 2 > self._limits.header_bytes + 1:
            raise Refusal(431, "the header lines are too long")
        elif lines > self._limits.header_fields and rest not in (b"", b"\r"):
            raise Refusal(431, "there are too many header lines")
        if rest[:1] in (b" ", b"\t"):
            raise Refusal(400, "a line begins with white space")
        partial_line(rest)


def _llhttp_agrees(lines: bytes) -> bool:
    """Whether llhttp takes `lines` as header lines."""
    try:
        HttpRequestParser(None).feed_data(_ANY_LINE + lines)
    except HttpParserUpgrade:  # no objection
        return True
    except HttpParserError:
        return False
    return True


def _has_only_a_host(folded: bytes) -> bool:
    """Whether nothing but one Host says anything of the framing, in a head in lower case; false where it is not so plain.

    A line begins wherever a CRLF is, and its name is right behind it. find, since `in` tries its left side as a number first.
    """
    if folded.count(b"\r\nhost:") != 1 or folded.find(b"\r\ntransfer-encoding:") >= 0 or folded.find(b"\r\nexpect:") >= 0:
        return False
    if folded.find(b"\r\ncon") < 0:
        return True
    if folded.find(b"\r\ncontent-length:") >= 0:
        return False
    return folded.count(b"\r\nconnection:") == folded.count(b"\r\nconnection: keep-alive\r\n")


def _understand(head: Head, framing: list[Field], body_bytes: int) -> None:
    """Sets what the fields say of the message and its connection. Raises Refusal."""
    values: dict[bytes, list[bytes]] = {name: [] for name in _FRAMING}
    for name, value in framing:
        values[name].append(value)
    _check_hosts(head, values[b"host"])
    head.length = _body_length(head, values[b"transfer-encoding"], values[b"content-length"], body_bytes)
    head.keep_alive = _keep_alive(head, values[b"connection"])
    if values[b"expect"] and head.minor:  # RFC 9110 §10.1.1: not read in HTTP/1.0
        expected = list_elements(values[b"expect"])
        if any(one.lower() != b"100-continue" for one in expected):
            raise Refusal(417, "only 100-continue can be expected")
        head.awaits_continue = head.length != 0 and bool(expected)


def _check_hosts(head: Head, hosts: list[bytes]) -> None:
    """RFC 9112 §3.2: exactly one in HTTP/1.1, at most one in HTTP/1.0, and a valid one."""
    if len(hosts) != 1 and (head.minor or hosts):
        raise Refusal(400, "a request has one Host")
    if hosts and not is_host(hosts[0]):
        raise Refusal(400, "the Host is not valid")


def _body_length(head: Head, codings: list[bytes], lengths: list[bytes], body_bytes: int) -> int:
    """RFC 9112 §6.3; where it lets a server choose between repair and refusal, refusal: repair is how requests are smuggled."""
    if codings:
        if lengths:
            raise Refusal(400, "a request has a Content-Length or a Transfer-Encoding, not both")
        if head.minor == 0:
            raise Refusal(400, "HTTP/1.0 has no Transfer-Encoding")
        names = transfer_codings(codings)
        if names[-1:] != [b"chunked"]:  # RFC 9112 §6.3: where the body ends cannot be known
            raise Refusal(400, "the last transfer coding of a request is chunked")
        if len(names) > 1:  # RFC 9112 §6.1
            raise Refusal(501, "the only transfer coding is chunked")
        return CHUNKED
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise Refusal(400, "a Content-Length is one number")
    digits = lengths[0].lstrip(b"0")
    if len(digits) > _MAX_LENGTH_DIGITS or int(digits or b"0") > body_bytes:
        raise Refusal(413, "the body is too large")
    return int(digits or b"0")


def _keep_alive(head: Head, values: list[bytes]) -> bool:
    """RFC 9112 §9.3."""
    options = {option.lower() for option in list_elements(values)}
    if b"close" in options:
        return False
    return head.minor == 1 or b"keep-alive" in options
