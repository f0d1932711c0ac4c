"""Why a guest did not become ready, from what its console said: pure, one clear message and one remedy for each case.

A panic before PID 1 spoke, and of nothing that another boot would only repeat (too little memory, a broken image), is a
`DiedEarlyError`. A kernel that says nothing is none: it is not for this machine.
"""

from __future__ import annotations

import re

from squib.errors import ApplianceError, GuestError, SquibError, UsageError
from squib.formats.console_lines import Exit
from squib.model.image import rebuild_hint
from squib.vmm.console_log import ConsoleLog
from squib.vmm.guest_report import describe_cause, describe_outcome, quoted

__all__ = ["DiedEarlyError", "NotReadyInTimeError", "explain_deadline", "explain_end", "explain_panic", "suspect_memory"]


class DiedEarlyError(GuestError):
    """The kernel panicked before its init said a word, of nothing that is known to last."""


_REBUILD = rebuild_hint()
_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00: (?:APP|ERR|WRN|INF|DBG) \[[a-z0-9]+\] ")
"""What the server's log puts before each line (squib.guest.logs)."""
_MORE_MEMORY = "give it more with --memory, for example twice as much"

_PANICS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("Out of memory", "deadlocked on memory", "out of memory"),
        "the guest ran out of memory",
        _MORE_MEMORY,
    ),
    (
        ("Unable to mount root", "No working init", "Requested init", "Cannot open root device"),
        "the kernel found no root file-system or no init in it",
        f"the image is broken or not made for this kernel; {_REBUILD}",
    ),
    (
        ("Attempted to kill init",),
        "the guest's first process, init, died",
        f"what it said is above; where the image may be damaged, {_REBUILD}",
    ),
)
"""What a panic's text holds; what it means; what to do."""


class NotReadyInTimeError(GuestError):
    """It runs and says nothing wrong: the guest may be stuck, or the host too busy for it."""


def explain_panic(log: ConsoleLog) -> GuestError:
    """The kernel panicked (`log.panic`)."""
    if log.initramfs:
        return GuestError(
            f"the kernel could not unpack the initrd: {quoted(log.initramfs)}",
            hint=f"it is damaged, or too large for the memory: {_MORE_MEMORY}; or {_REBUILD}",
            detail=log.tail,
        )
    for signs, meaning, hint in _PANICS:
        if any(sign in log.panic for sign in signs):
            return GuestError(f"{meaning}: {quoted(log.panic)}", hint=hint, detail=log.tail)
    kind = GuestError if log.boot else DiedEarlyError
    return kind(f"the guest's kernel panicked: {quoted(log.panic)}", hint="what it said is above", detail=log.tail)


def explain_end(log: ConsoleLog, *, vmm: str, vmm_end: str) -> SquibError:
    """The machine ended before it was ready; `vmm_end` says how its process did ("exit status 0")."""
    if log.exit is not None:
        return _explain_exit(log.exit, log)
    if log.panic:
        return explain_panic(log)
    if not log.received:
        return GuestError(
            f"{vmm} ended ({vmm_end}) before the guest said anything",
            hint="the kernel may not be one for this machine, or the memory too small: try more with --memory",
            detail=log.tail,
        )
    stage = "before it was ready" if log.boot else "before its init started"
    return GuestError(f"the machine ended {stage} ({vmm}: {vmm_end})", hint="what its console showed is above", detail=log.tail)


def _explain_exit(end: Exit, log: ConsoleLog) -> SquibError:
    words = _STAMP.sub("", log.before_exit.strip())
    said = f": {quoted(words)}" if words else ""
    # What is said in the message is not said once more below it.
    rest = "\n".join(line for line in log.tail.split("\n") if line != log.before_exit)
    match end.status:
        case 64:
            return UsageError(
                f"the server refused an option{said}", hint="squib serve APPLIANCE --help lists the options", detail=rest
            )
        case 65:
            return ApplianceError(
                f"the appliance could not be loaded{said}",
                hint="correct that, and run it again; squib serve tries it without a machine",
                detail=rest,
            )
        case 70:
            cause = describe_cause(end.cause)
            return GuestError(
                f"the server crashed{cause and f' ({cause})'}, and the guest does not start it again",
                hint="its own last words are above",
                detail=log.tail,
            )
        case 71:
            return GuestError(
                f"the guest could not set itself up{said}", hint="what its console showed is above", detail=log.tail
            )
        case 0 if end.reason == "finished":
            return GuestError(
                "the server ended with exit status 0 before it was ready",
                hint='have it started again: restart.policy = "always" in the appliance file',
                detail=log.tail,
            )
        case 0 | 75:
            return GuestError(f"the guest was stopped ({end.reason}) before it was ready", detail=log.tail)
        case status:
            return GuestError(f"the guest ended with status {status} ({end.reason}) before it was ready", detail=log.tail)


def explain_deadline(log: ConsoleLog, *, timeout: float, elsewhere: str) -> GuestError:
    """It runs, and was not ready within `timeout` seconds; `elsewhere` says where it may run better."""
    if log.panic:
        return explain_panic(log)
    longer = f"give it more time: --timeout {max(1, round(timeout * 3))}"
    if not log.received:
        return NotReadyInTimeError(
            f"the guest printed nothing within {timeout:g} s",
            hint=f"{elsewhere}; or {longer}",
        )
    if log.boot is None:
        what = f"the kernel came up, but init did not start within {timeout:g} s"
    elif log.health is not None and log.health.state != "ok":
        what = f"the server's health check was not good within {timeout:g} s: {describe_outcome(log.health.check)}"
    else:
        what = f"init started, but the server was not ready within {timeout:g} s"
    return NotReadyInTimeError(what, hint=longer, detail=log.tail)


def suspect_memory(error: GuestError, *, mem_size_mib: int, ample_mib: int) -> GuestError:
    """The same error; where the guest has less than `ample_mib`, with memory as the first thing to try."""
    if mem_size_mib >= ample_mib or "--memory" in error.hint:
        return error
    hint = f"--memory {ample_mib}M, for {mem_size_mib} MiB are little for it{error.hint and f'; or {error.hint}'}"
    return type(error)(str(error), hint=hint, detail=error.detail)
