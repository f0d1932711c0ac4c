"""Sends an image to a registry, by skopeo: with the credentials of `docker login` or `podman login`, and the digest kept.

The rule: no secret passes through squib; skopeo reads them where they are. A registry gets the manifest last, so whatever
breaks before leaves its tag as it was.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from squib.errors import ApplianceError, HostError, PermissionDeniedError, SquibError, UnavailableError
from squib.host import command
from squib.host.files import storage_errors
from squib.model.reference import Reference

__all__ = ["ARCHIVE", "PACKAGE", "PROGRAM", "find", "push"]

ARCHIVE = "image.tar"
PROGRAM = PACKAGE = "skopeo"
_TIMEOUT_S = 1800.0
_RETRIES = 2
_DIGEST_FILE = "digest"
_REFUSED = re.compile(
    r"unauthorized|authentication required|access to the resource is denied|403 Forbidden|401 Unauthorized|no basic auth"
)
_AWAY = re.compile(r"connection refused|no such host|no route to host|i/o timeout|network is unreachable|TLS handshake timeout")
"""What comes of asking; one that breaks off later (connection reset, EOF) was there."""
_PLAIN = re.compile(r"server gave HTTP response to HTTPS client")
_UNTRUSTED = re.compile(r"x509: |certificate")


def find() -> Path:
    """The program. Raises UnavailableError."""
    return command.find(PROGRAM, package=PACKAGE)


def push(folder: Path, reference: Reference, digest: str, *, insecure: bool) -> None:
    """Pushes the OCI archive `folder`/ARCHIVE, whose manifest has `digest`.

    `insecure`: plain HTTP or an unknown certificate will do.
    Raises UnavailableError (no skopeo, registry away), PermissionDeniedError (it refuses), HostError.
    """
    argv = [
        *(PROGRAM, "--insecure-policy", "copy", "--quiet", "--retry-times", str(_RETRIES), "--preserve-digests"),
        *("--digestfile", _DIGEST_FILE),
        *(["--dest-tls-verify=false"] if insecure or is_loopback(reference.registry) else []),
        # A name without a folder: a colon in a path would be taken for a tag's.
        *(f"oci-archive:{ARCHIVE}", f"docker://{reference.full}"),
    ]
    try:
        command.run(argv, cwd=folder, env=environment(os.environ), timeout=_TIMEOUT_S, package=PACKAGE)
    except HostError as error:
        raise _explained(error, reference) from error
    with storage_errors(folder / _DIGEST_FILE):
        kept = (folder / _DIGEST_FILE).read_text(encoding="ascii").strip()
    if kept != digest:
        raise ApplianceError(
            f"{reference.full} is {kept} there, and {digest} here", hint="the registry changed it; use another one"
        )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ`, and where DOCKER_CONFIG says that credentials are: older skopeos know the usual places only."""
    found = dict(environ)
    configured = environ.get("DOCKER_CONFIG")
    if configured and "REGISTRY_AUTH_FILE" not in environ and (Path(configured) / "config.json").is_file():
        found["REGISTRY_AUTH_FILE"] = str((Path(configured) / "config.json").resolve())
    return found


def is_loopback(registry: str) -> bool:
    """Whether it is on this machine, where Docker as well asks without TLS."""
    host = registry.rpartition(":")[0] if re.search(r":\d+$", registry) else registry
    return host in {"localhost", "[::1]"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _explained(error: HostError, reference: Reference) -> SquibError:
    registry = reference.full.partition("/")[0]
    said = error.detail
    # The try before may have failed in another way: what the last one met is what is so.
    last = said.rstrip().rpartition("\n")[2]
    if _PLAIN.search(said) or _UNTRUSTED.search(said):
        kind = "speaks plain HTTP" if _PLAIN.search(said) else "has a certificate that is not trusted here"
        return UnavailableError(f"{registry} {kind}", hint="if that is as it should be: --insecure", detail=said)
    if _REFUSED.search(last):
        return PermissionDeniedError(
            f"{registry} does not let you push {reference.path}", hint=f"docker login {shlex.quote(registry)}", detail=said
        )
    if _AWAY.search(last):
        return UnavailableError(
            f"the registry {registry} does not answer", hint="is its name right, and is it up?", detail=said
        )
    return HostError(f"{reference.full} could not be pushed; its tag is as it was", hint=error.hint, detail=said)
