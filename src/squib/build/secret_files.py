"""Files that should not get into an image by accident: known by the names that tools give them, and private keys by content."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

__all__ = ["secret_by_content", "secret_by_name"]

_HISTORY = frozenset({".bzr", ".git", ".hg", ".svn"})
_FOLDERS = frozenset({".aws", ".azure", ".docker", ".gnupg", ".kube", ".password-store", ".ssh"})
_NAMES = frozenset(
    {
        *(".boto", ".dockercfg", ".envrc", ".git-credentials", ".htpasswd", ".my.cnf", ".mylogin.cnf", ".netrc", "_netrc"),
        *(".npmrc", ".pgpass", ".pypirc", ".s3cfg", ".vault-token", "secrets.toml", "terraform.tfstate"),
        *(".bash_history", ".mysql_history", ".psql_history", ".python_history", ".zsh_history"),
        *("id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_rsa"),
    }
)
_SUFFIXES = frozenset({".env", ".jks", ".kdbx", ".key", ".keystore", ".p12", ".pfx", ".ppk"})
_EXAMPLES = frozenset({".defaults", ".dist", ".example", ".sample", ".template"})
"""`.env.example` is there to be given away."""

_KEY = re.compile(
    # RFC 7468 and OpenPGP's armour, also within JSON; the marker alone stands in many a library's source.
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\[rn]|\s)+(?:Comment:|Proc-Type:|Version:|[A-Za-z0-9+/]{16})"
    rb"|^PuTTY-User-Key-File-|^AGE-SECRET-KEY-1",
    re.MULTILINE,
)
_LOOKED_AT = 1 << 20


def secret_by_name(path: PurePosixPath) -> str:
    """What a file or folder of this name holds: "passwords or tokens"; empty where it is like any other."""
    name = path.name.lower()
    if name in _HISTORY:
        return "a project's history"
    if name in _FOLDERS or name in _NAMES or name == ".env" or PurePosixPath(name).suffix in _SUFFIXES:
        return "passwords, tokens or keys"
    if name.startswith(".env.") and PurePosixPath(name).suffix not in _EXAMPLES:
        return "passwords, tokens or keys"
    return ""


def secret_by_content(data: bytes) -> str:
    """The same, by what a file of any name begins with."""
    return "a private key" if _KEY.search(data, 0, _LOOKED_AT) else ""
