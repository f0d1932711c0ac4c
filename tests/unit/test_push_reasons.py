"""What skopeo said becomes one reason: that of its last try."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.errors import HostError, PermissionDeniedError, SquibError, UnavailableError
from squib.host import registry
from squib.model.reference import parse_reference

RESET = 'time="1" level=warning msg="Failed, retrying in 1s ... (1/2). Error: write: connection reset by peer"'
DIAL = 'time="1" level=warning msg="Failed, retrying in 1s ... (1/2). Error: dial tcp: connect: connection refused"'


@pytest.fixture
def skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that says what is in the file `said`, and fails."""
    program = tmp_path / "bin/skopeo"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/said >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "said"


@pytest.mark.parametrize(
    ("lines", "kind", "words"),
    [
        ([RESET, "fatal: received unexpected HTTP status: 500 Internal Server Error"], HostError, "could not be pushed"),
        ([RESET, "fatal: write: connection reset by peer"], HostError, "could not be pushed"),
        ([RESET, "fatal: dial tcp 127.0.0.1:5000: connect: connection refused"], UnavailableError, "does not answer"),
        ([DIAL, "fatal: unauthorized: authentication required"], PermissionDeniedError, "does not let you push"),
        (["fatal: http: server gave HTTP response to HTTPS client"], UnavailableError, "speaks plain HTTP"),
        (["fatal: tls: x509: unknown authority"], UnavailableError, "not trusted here"),
    ],
)
def test_the_last_try_is_the_reason(skopeo: Path, lines: list[str], kind: type[SquibError], words: str) -> None:
    skopeo.write_text("\n".join(lines) + "\n")
    with pytest.raises(kind, match=words) as caught:
        registry.push(skopeo.parent, parse_reference("127.0.0.1:5000/a"), "sha256:0", insecure=False)
    assert type(caught.value) is kind
    assert lines[-1] in caught.value.detail
