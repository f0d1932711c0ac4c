"""What the server allows a client, each a number of its own. The defaults are the documented ones; only tests pass others."""

from __future__ import annotations

REQUEST_LINE_BYTES = 8 * 1024
HEADER_BYTES = 32 * 1024
HEADER_FIELDS = 100
BODY_BYTES = 1024 * 1024
CHUNK_LINE_BYTES = 4 * 1024
CHUNK_EXTENSION_BYTES = 16 * 1024
TRAILER_BYTES = 8 * 1024
BLANK_LINES = 16
CONNECTIONS = 1024
OUTPUT_BYTES = 64 * 1024
KEPT_BYTES = 4 * 1024 * 1024
REQUESTS_A_TURN = 256
HEAD_S = 10.0
BODY_S = 60.0
IDLE_S = 75.0
WRITE_S = 30.0
LINGER_S = 5.0
STOP_S = 10.0
CROWDED_S = 5.0
TICK_S = 0.5


class Limits:
    """Sizes in bytes, times in seconds.

    `request_line_bytes` without its line end (414); `header_bytes` all header lines with their ends, `header_fields` their
    number (431); `body_bytes` of one request (413); `chunk_line_bytes` of one chunk's size and extensions,
    `chunk_extension_bytes` of all extensions of a body (400); `trailer_bytes` (431); `blank_lines` before a request (400).
    `connections` open at once; `output_bytes` of answers made for a client before its next request waits; `kept_bytes` of
    unfinished requests and untaken answers, over all connections; `requests_a_turn` of one client before the others have
    theirs. `head_s` for a whole head, `body_s` for a whole body (408), `idle_s` between requests,
    `write_s` without any progress in writing, `linger_s` for a client to see the last answer, `stop_s` for a graceful stop,
    `crowded_s` for a request and its answer when others wait for a connection. `tick_s` is how fine times are told apart.
    """

    __slots__ = (
        "blank_lines", "body_bytes", "body_s", "chunk_extension_bytes", "chunk_line_bytes",
        "connections", "crowded_s", "head_s", "header_bytes", "header_fields", "idle_s",
        "kept_bytes", "linger_s", "output_bytes", "request_line_bytes", "requests_a_turn", "stop_s",
        "tick_s", "trailer_bytes", "write_s",
    )  # fmt: skip

    def __init__(
        self,
        *,
        request_line_bytes: int = REQUEST_LINE_BYTES,
        header_bytes: int = HEADER_BYTES,
        header_fields: int = HEADER_FIELDS,
        body_bytes: int = BODY_BYTES,
        chunk_line_bytes: int = CHUNK_LINE_BYTES,
        chunk_extension_bytes: int = CHUNK_EXTENSION_BYTES,
        trailer_bytes: int = TRAILER_BYTES,
        blank_lines: int = BLANK_LINES,
        connections: int = CONNECTIONS,
        output_bytes: int = OUTPUT_BYTES,
        kept_bytes: int = KEPT_BYTES,
        requests_a_turn: int = REQUESTS_A_TURN,
        head_s: float = HEAD_S,
        body_s: float = BODY_S,
        idle_s: float = IDLE_S,
        write_s: float = WRITE_S,
        linger_s: float = LINGER_S,
        stop_s: float = STOP_S,
        crowded_s: float = CROWDED_S,
        tick_s: float = TICK_S,
    ) -> None:
        self.request_line_bytes = request_line_bytes
        self.header_bytes = header_bytes
        self.header_fields = header_fields
        self.body_bytes = body_bytes
        self.chunk_line_bytes = chunk_line_bytes
        self.chunk_extension_bytes = chunk_extension_bytes
        self.trailer_bytes = trailer_bytes
        self.blank_lines = blank_lines
        self.connections = connections
        self.output_bytes = output_bytes
        self.kept_bytes = kept_bytes
        self.requests_a_turn = requests_a_turn
        self.head_s = head_s
        self.body_s = body_s
        self.idle_s = idle_s
        self.write_s = write_s
        self.linger_s = linger_s
        self.stop_s = stop_s
        self.crowded_s = crowded_s
        self.tick_s = tick_s
