"""The server program's manual page, made from the appliance's keys: one content, as plain text or as groff source.

Sections: NAME, SYNOPSIS, APPLICATION OPTIONS (the appliance's keys), SERVER OPTIONS (what every server has), ENVIRONMENT.
"""

from __future__ import annotations

import os
import sys

from squib.guest.options import all_keys, variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from squib.guest.spec import Key, Spec

_WIDTH = 78
_MARGIN = 7
_DEEPER = 4

Item = tuple[str, str]
"""A label and its text; without a label, a paragraph."""
Page = tuple[tuple[str, tuple[Item, ...]], ...]
"""(heading, items) of each section."""


def page(spec: Spec, command: str) -> Page:
    """What the page says."""
    name = f"{spec.name} - {spec.summary}" if spec.summary else spec.name
    keys = sorted(all_keys(spec), key=lambda key: key.name)
    return (
        ("NAME", (("", name),)),
        ("SYNOPSIS", (("", f"{command} [OPTION]..."),)),
        ("APPLICATION OPTIONS", tuple(_key_item(key) for key in keys)),
        ("SERVER OPTIONS", _SERVER),
        ("ENVIRONMENT", (
            ("", "An option that is not given takes its value from its environment variable, where that is set:"),
            *sorted((variable(name), f"as --{name}") for name in ("logs", *(key.name for key in keys))),
        )),
    )  # fmt: skip


_LOGS_TEXT = (
    "How much is logged. LEVEL is quiet, error, warning, info or debug. It may differ by source: *:info,http:debug logs "
    "everything at info, and what the source http says at debug."
)
_HELP_TEXT = "Show this help. FMT is plain, groff, pager or auto, which is pager on a terminal and plain elsewhere."
_SERVER: tuple[Item, ...] = (
    ("--ips=ADDRESSES (default: 0.0.0.0)", "The IPv4 and IPv6 addresses to listen on, separated by commas."),
    ("-l LEVEL, --logs=LEVEL (default: info; environment: SQUIB_LOGS)", _LOGS_TEXT),
    ("--socket=PATH", "A Unix-domain socket to listen on as well."),
    ("-h, --help[=FMT]", _HELP_TEXT),
)


def _key_item(key: Key) -> Item:
    placeholder = {"bool": "BOOL", "int": "INT", "string": "TEXT", "port": "PORT"}.get(key.type, "VALUE")
    default = str(key.default).lower() if key.type == "bool" else str(key.default)
    told = f"default: {default}; environment: {variable(key.name)}" if default else f"environment: {variable(key.name)}"
    shown = f"--{key.name}[=BOOL]" if key.type == "bool" else f"--{key.name}={placeholder}"
    return f"{shown} ({told})", key.doc


def plain(content: Page) -> str:
    """Plain text, at most 78 columns where words allow it."""
    lines: list[str] = []
    for heading, items in content:
        lines.append(heading)
        for label, text in items:
            if label:
                lines.extend(_wrapped(label, _MARGIN))
            lines.extend(_wrapped(text, _MARGIN + _DEEPER if label else _MARGIN))
            lines.append("")
    return "\n".join(lines)


def _wrapped(text: str, indent: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and indent + len(line) + 1 + len(word) > _WIDTH:
            lines.append(" " * indent + line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, " " * indent + line] if line else lines


def groff(content: Page, name: str) -> str:
    """Source for groff's man macros."""
    title = _quoted(name)
    lines = [f'.TH "{title.upper()}" 1 "" "{_quoted(name.capitalize())}" "{_quoted(name.capitalize())} Manual"', ".nh", ".ad l"]
    for heading, items in content:
        lines.append(f".SH {heading}")
        for label, text in items:
            if label:
                lines += [".TP 4", rf"\fB{_escaped(label)}\fR"]
            else:
                lines.append(".P")
            if text.split():
                lines.append(rf"\&{_escaped(text)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    one_line = " ".join(text.split())
    plain_ascii = one_line.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in plain_ascii)


def _quoted(text: str) -> str:
    return "".join(c for c in text if c.isascii() and c.isprintable() and c not in '"\\')


def show(spec: Spec, fmt: str, command: str, environ: Mapping[str, str]) -> int:
    """Shows the page in one of options.HELP_FORMATS; gives the exit status."""
    content = page(spec, command)
    if fmt == "auto":
        fmt = "plain" if environ.get("TERM", "") in ("", "dumb") else "pager"
    if fmt == "groff":
        return _write(groff(content, spec.name))
    text = plain(content)
    if fmt == "pager" and _page_out(text, environ):
        return 0
    return _write(text)


def _write(text: str) -> int:
    """To standard output; a reader that went away is no error."""
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        return 0
    except OSError as error:
        sys.stderr.write(f"standard output: {error.strerror}\n")
        return 74
    return 0


def _page_out(text: str, environ: Mapping[str, str]) -> bool:
    """Shows `text` in the first pager that there is; False where there is none, or standard output is no terminal."""
    if not os.isatty(1):
        return False
    for wanted in (environ.get("MANPAGER"), environ.get("PAGER"), "less", "more"):
        argv = _words(wanted or "")
        if argv and (path := _program(argv[0], environ)):
            _run_pager(path, argv, text, environ)
            return True
    return False


def _words(text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError:
        return []  # a quote that is not closed: try the next pager


def _program(name: str, environ: Mapping[str, str]) -> str | None:
    folders = [""] if "/" in name else environ.get("PATH", os.defpath).split(":")
    for folder in folders:
        path = os.path.join(folder, name) if folder else name
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _run_pager(path: str, argv: list[str], text: str, environ: Mapping[str, str]) -> None:
    """The pager has the page in a file as its standard input, so that nobody waits for it to read."""
    file = os.memfd_create("help")
    os.write(file, text.encode("utf-8", "backslashreplace"))
    os.lseek(file, 0, os.SEEK_SET)
    pid = os.posix_spawn(path, argv, dict(environ), file_actions=[(os.POSIX_SPAWN_DUP2, file, 0)])
    os.close(file)
    os.waitpid(pid, 0)
