"""The handler is a function, so a test calls it: no server, no machine (run `python -m pytest`)."""

from app import answer

from squib.guest.handler import Request


def test_it_greets() -> None:
    """The greeting is the key's, the place is the request's."""
    request = Request("GET", "/here", (), {"port": 8000, "greeting": "good day"})
    assert answer(request).body == b"good day from /here\n"
