"""The handler in docs/appliance-file.md that sets cookies and redirects does what a browser needs of it."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import cast

import pytest

from serving import WAIT_S, exchange, serving
from squib.guest.handler import Request, Response

DOC = Path(__file__).parents[2] / "docs" / "appliance-file.md"


def documented() -> Callable[[Request], Response]:
    code = next(block for block in re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL) if "SimpleCookie" in block)
    names: dict[str, object] = {}
    exec(compile(code, str(DOC), "exec"), names)
    return cast("Callable[[Request], Response]", names["answer"])


def test_a_client_with_a_cookie_jar_is_sent_to_the_login_and_back() -> None:
    jar = CookieJar()
    client = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    with serving(answer=documented()) as ((host, port), _), client.open(f"http://{host}:{port}/", timeout=WAIT_S) as found:
        assert (found.status, found.url, found.read()) == (200, f"http://{host}:{port}/", b"hello ada\n")
    assert {cookie.name: cookie.value for cookie in jar} == {"user": "ada", "theme": "dark"}


def test_each_cookie_has_a_line_of_its_own_and_a_redirect_says_where() -> None:
    with serving(answer=documented()) as (address, _):
        answer = exchange(address, b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 303 See Other\r\ncontent-length: 0\r\n")
        assert (
            b"\r\nlocation: /\r\nset-cookie: user=ada; Path=/; HttpOnly; SameSite=Lax\r\nset-cookie: theme=dark; Path=/\r\n"
            in answer
        )
        answer = exchange(address, b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nCookie: user=eve\r\n\r\n")
        assert answer.endswith(b"\r\n\r\nhello eve\n")


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0b"])
def test_no_cookie_and_no_place_ends_its_header_line(value: str) -> None:
    for name in ("set-cookie", "location"):
        with pytest.raises(ValueError, match="control character"):
            Response(b"", status=303, headers=((name, value),))
