"""The resources of Firecracker's API, named and spelled as its specification has them (firecracker.yaml of v1.12).

What squib sends, and what stands in a configuration file, is exact: an unknown field or a value out of its range is refused.
`null` counts as absent where Firecracker takes it so. Of what Firecracker answers, fields that are not known here are skipped:
a newer one may say more. Sizes are MiB where the name says so, times milliseconds, else as the specification says.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from squib.model.units import MAX_VCPU_COUNT

__all__ = [
    "ActionType",
    "Balloon",
    "BootSource",
    "CpuConfig",
    "CpuTemplate",
    "Drive",
    "EntropyDevice",
    "Error",
    "FirecrackerVersion",
    "FullVmConfiguration",
    "InstanceActionInfo",
    "InstanceInfo",
    "Logger",
    "MachineConfiguration",
    "Metrics",
    "MmdsConfig",
    "NetworkInterface",
    "RateLimiter",
    "TokenBucket",
    "Vm",
    "Vsock",
]

Id = str
"""In a configuration file any text; in the path of a request letters, digits and _ alone (`requests.addressable`)."""
Mac = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z", description="as in AA:FC:00:00:00:01")]
LinkLocal = Annotated[
    str, msgspec.Meta(pattern=r"\A169\.254\.[0-9]{1,3}\.[0-9]{1,3}\Z", description="link-local, as in 169.254.169.254")
]
Level = Annotated[
    str,
    msgspec.Meta(
        pattern=r"(?i)\A(?:error|warn|warning|info|debug|trace|off)\Z",
        description="Error, Warning, Info, Debug, Trace or Off",
    ),
]
Count = Annotated[int, msgspec.Meta(ge=0)]
U16 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 16) - 1)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]

CpuTemplate = Literal["C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None"]
ActionType = Literal["FlushMetrics", "InstanceStart", "SendCtrlAltDel"]


class _Sent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What goes to Firecracker: a field that is not set is not sent, and Firecracker's default holds."""


class _Read(msgspec.Struct, frozen=True):
    """What comes from Firecracker."""


class TokenBucket(_Sent, frozen=True):
    """`size` tokens, refilled over `refill_time` milliseconds; `one_time_burst` more at the start."""

    size: Count
    refill_time: Count
    one_time_burst: Count | None = None


class RateLimiter(_Sent, frozen=True):
    """Bytes and operations, each by its own bucket."""

    bandwidth: TokenBucket | None = None
    ops: TokenBucket | None = None


class BootSource(_Sent, frozen=True):
    """Without `boot_args` Firecracker's own line is used; with them it is replaced, not added to."""

    kernel_image_path: str
    initrd_path: str | None = None
    boot_args: str | None = None


class Drive(_Sent, frozen=True):
    """A block device: a file (`path_on_host`), or a vhost-user process behind `socket`."""

    drive_id: Id
    is_root_device: bool
    partuuid: str | None = None
    cache_type: Literal["Unsafe", "Writeback"] = "Unsafe"
    is_read_only: bool | None = None
    path_on_host: str | None = None
    rate_limiter: RateLimiter | None = None
    io_engine: Literal["Sync", "Async"] | None = None
    socket: str | None = None


class MachineConfiguration(_Sent, frozen=True):
    """Processors and memory."""

    vcpu_count: Annotated[int, msgspec.Meta(ge=1, le=MAX_VCPU_COUNT)]
    mem_size_mib: Annotated[int, msgspec.Meta(ge=1)]
    smt: bool = False
    cpu_template: CpuTemplate | None = None
    track_dirty_pages: bool = False
    huge_pages: Literal["None", "2M"] = "None"


class CpuConfig(_Sent, frozen=True):
    """A CPU template of one's own, as it is; Firecracker alone knows what may stand in it (docs/cpu_templates)."""

    cpuid_modifiers: Any = None
    msr_modifiers: Any = None
    reg_modifiers: Any = None
    vcpu_features: Any = None
    kvm_capabilities: Any = None


class NetworkInterface(_Sent, frozen=True):
    """A network card of the guest's on the host's tap device `host_dev_name`."""

    iface_id: Id
    host_dev_name: str
    guest_mac: Mac | None = None
    rx_rate_limiter: RateLimiter | None = None
    tx_rate_limiter: RateLimiter | None = None


class Vsock(_Sent, frozen=True):
    """The guest's vsock, behind a Unix socket that Firecracker makes at `uds_path`. `vsock_id` is deprecated."""

    guest_cid: Annotated[int, msgspec.Meta(ge=3, le=(1 << 32) - 1)]
    uds_path: str
    vsock_id: str | None = None


class Balloon(_Sent, frozen=True):
    """Takes `amount_mib` of memory back from the guest."""

    amount_mib: U32
    deflate_on_oom: bool
    stats_polling_interval_s: U16 = 0


class EntropyDevice(_Sent, frozen=True):
    """A source of random numbers."""

    rate_limiter: RateLimiter | None = None


class MmdsConfig(_Sent, frozen=True):
    """Which interfaces reach the metadata, at which address. V2 wants a token from whoever asks; V1 is deprecated."""

    network_interfaces: tuple[Id, ...]
    version: Literal["V1", "V2"] = "V1"
    ipv4_address: LinkLocal | None = None


class Logger(_Sent, frozen=True):
    """Firecracker's log: to the file or FIFO `log_path`, else to its standard output."""

    log_path: str | None = None
    level: Level | None = None
    show_level: bool | None = None
    show_log_origin: bool | None = None
    module: str | None = None


class Metrics(_Sent, frozen=True):
    """Where Firecracker writes its metrics, a JSON object a line."""

    metrics_path: str


class InstanceActionInfo(_Sent, frozen=True):
    """What `/actions` takes."""

    action_type: ActionType


class Vm(_Sent, frozen=True):
    """Pauses or resumes."""

    state: Literal["Paused", "Resumed"]


class FullVmConfiguration(_Sent, frozen=True, rename="kebab"):
    """The file for `firecracker --config-file`, which must have `boot-source` and `drives`.

    `cpu-config` is the path of a file there, whereas `/cpu-config` takes what is in it.
    """

    boot_source: BootSource
    drives: tuple[Drive, ...]
    machine_config: MachineConfiguration | None = None
    cpu_config: str | None = None
    network_interfaces: tuple[NetworkInterface, ...] = ()
    vsock: Vsock | None = None
    balloon: Balloon | None = None
    entropy: EntropyDevice | None = None
    mmds_config: MmdsConfig | None = None
    logger: Logger | None = None
    metrics: Metrics | None = None


class InstanceInfo(_Read, frozen=True):
    """What `GET /` answers."""

    app_name: str
    id: str
    state: Literal["Not started", "Running", "Paused"]
    vmm_version: str


class FirecrackerVersion(_Read, frozen=True):
    """What `GET /version` answers."""

    firecracker_version: str


class Error(_Read, frozen=True):
    """The body of every refusal."""

    fault_message: str = ""
