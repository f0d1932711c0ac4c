"""From an appliance to a cluster's workload. Pure: it asks no cluster, and writes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from squib.build.image import container_port
from squib.build.rootfs import SERVER_ID
from squib.errors import UsageError
from squib.model.appliance import Appliance, HealthSettings
from squib.model.keys import key_values
from squib.model.reference import parse_reference
from squib.model.workload import Check, Workload

__all__ = ["Wishes", "plan_workload"]

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
"""A name that a Service may have (RFC 1035, as Kubernetes has it)."""

_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SERVICE_PORT = 80
_LEAST_START_S = 30
"""A busy node takes its time; in a cluster a start that takes longer is a failed one."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asks for; `values` are keys of the appliance with their text. Empty text: as goes without saying."""

    image: str
    values: tuple[tuple[str, str], ...] = ()
    replicas: int = 1
    name: str = ""
    namespace: str = ""
    runtime_class: str = ""


def plan_workload(appliance: Appliance, wishes: Wishes) -> Workload:
    """What is to run. Raises UsageError."""
    values = key_values(appliance, wishes.values)
    port = int(values.pop("port", "") or container_port(appliance))
    logs = values.pop("logs", "")  # an option of the server's own
    health = appliance.health or HealthSettings()
    return Workload(
        name=_named(wishes.name or appliance.name, _LABEL, "a workload"),
        image=_image(wishes.image),
        args=("--port", str(port), *([f"--logs={logs}"] if logs else [])),
        env=_environment(values),
        port=port,
        service_port=_SERVICE_PORT,
        user=SERVER_ID,
        replicas=wishes.replicas,
        cpu_count=appliance.machine.vcpu_count,
        mem_size_mib=appliance.machine.mem_size_mib,
        check=Check(
            health.path,
            _seconds(health.interval_ms),
            _seconds(health.timeout_ms),
            health.failures,
            max(_seconds(health.start_period_ms), _LEAST_START_S),
        ),
        namespace=wishes.namespace and _named(wishes.namespace, _LABEL, "a namespace"),
        runtime_class=wishes.runtime_class and _named(wishes.runtime_class, _SUBDOMAIN, "a runtime class"),
    )


def _environment(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Keys as variables, which a cluster's own tools can set and patch."""
    return tuple((f"SQUIB_{name.upper().replace('-', '_')}", text) for name, text in sorted(values.items()))


def _seconds(milliseconds: int) -> int:
    """Kubernetes has whole seconds, and at least one."""
    return max(1, -(-milliseconds // 1000))


def _image(text: str) -> str:
    """In full, so that no node has to guess the registry. A tag that nobody wrote is not put before a digest."""
    written, at, digest = text.partition("@")
    reference = parse_reference(written)
    if not at:
        return reference.full
    if _DIGEST.fullmatch(digest) is None:
        raise UsageError(f"{text!r} cannot name an image: {digest!r} is no digest", hint="squib push prints one: sha256:…")
    named = reference.full if written.endswith(f":{reference.tag}") else reference.full.removesuffix(f":{reference.tag}")
    return named + at + digest


def _named(text: str, form: re.Pattern[str], what: str) -> str:
    if form.fullmatch(text) is None:
        raise UsageError(f"{text!r} cannot name {what} in Kubernetes", hint="a-z, 0-9 and -; a letter or digit at both ends")
    return text
