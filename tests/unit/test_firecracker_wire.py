"""Firecracker's API as squib speaks it: held to the documented fields, strict at the edges, errors in the user's terms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squib.errors import ApplianceError
from squib.wire.firecracker import requests, resources, vm_json
from support import golden

# The definitions of Firecracker v1.12's firecracker.yaml: name → required fields, optional fields.
DOCUMENTED: dict[str, tuple[str, str]] = {
    "Balloon": ("amount_mib deflate_on_oom", "stats_polling_interval_s"),
    "BootSource": ("kernel_image_path", "boot_args initrd_path"),
    "CpuConfig": ("", "cpuid_modifiers msr_modifiers reg_modifiers vcpu_features kvm_capabilities"),
    "Drive": (
        "drive_id is_root_device",
        "partuuid cache_type is_read_only path_on_host rate_limiter io_engine socket",
    ),
    "EntropyDevice": ("", "rate_limiter"),
    "InstanceActionInfo": ("action_type", ""),
    "Logger": ("", "level log_path show_level show_log_origin module"),
    "MachineConfiguration": ("mem_size_mib vcpu_count", "cpu_template smt track_dirty_pages huge_pages"),
    "Metrics": ("metrics_path", ""),
    "MmdsConfig": ("network_interfaces", "version ipv4_address"),
    "NetworkInterface": ("host_dev_name iface_id", "guest_mac rx_rate_limiter tx_rate_limiter"),
    "RateLimiter": ("", "bandwidth ops"),
    "TokenBucket": ("refill_time size", "one_time_burst"),
    "Vm": ("state", ""),
    "Vsock": ("guest_cid uds_path", "vsock_id"),
    # Read, not sent. The specification marks no field of Error as required.
    "InstanceInfo": ("app_name id state vmm_version", ""),
    "FirecrackerVersion": ("firecracker_version", ""),
    "Error": ("", "fault_message"),
    # The specification marks nothing as required, but `--config-file` does (src/vmm/src/resources.rs, VmmConfig).
    "FullVmConfiguration": (
        "boot-source drives",
        "balloon cpu-config logger machine-config metrics mmds-config network-interfaces vsock entropy",
    ),
}
READ = {"InstanceInfo", "FirecrackerVersion", "Error"}
# Where `null` is refused, because the field has a default and is no option there.
NO_NULL = {
    ("Balloon", "stats_polling_interval_s"),
    ("Drive", "cache_type"),
    ("MachineConfiguration", "smt"),
    ("MachineConfiguration", "track_dirty_pages"),
    ("MachineConfiguration", "huge_pages"),
    ("MmdsConfig", "version"),
    ("FullVmConfiguration", "network-interfaces"),
}
VALUES: dict[str, Any] = {
    "action_type": "InstanceStart", "amount_mib": 64, "app_name": "Firecracker", "balloon": {"amount_mib": 1, "deflate_on_oom": True},
    "bandwidth": {"size": 1, "refill_time": 2}, "boot-source": {"kernel_image_path": "/k"}, "boot_args": "console=ttyS0",
    "cache_type": "Writeback", "cpu-config": "/cpu.json", "cpu_template": "T2S", "cpuid_modifiers": [{"leaf": "0x1"}], "deflate_on_oom": True,
    "drive_id": "rootfs", "drives": [{"drive_id": "rootfs", "is_root_device": True}], "entropy": {}, "fault_message": "no",
    "firecracker_version": "1.12.1", "guest_cid": 3, "guest_mac": "AA:FC:00:00:00:01", "host_dev_name": "tap0", "huge_pages": "2M",
    "id": "anonymous-instance", "iface_id": "eth0", "initrd_path": "/i", "io_engine": "Async", "ipv4_address": "169.254.170.2",
    "is_read_only": True, "is_root_device": True, "kernel_image_path": "/k", "kvm_capabilities": ["!56"], "level": "wArN", "log_path": "/l",
    "logger": {}, "machine-config": {"vcpu_count": 2, "mem_size_mib": 128}, "mem_size_mib": 128, "metrics": {"metrics_path": "/m"},
    "metrics_path": "/m", "mmds-config": {"network_interfaces": ["eth0"]}, "module": "api_server", "msr_modifiers": [], "network-interfaces": [],
    "network_interfaces": ["eth0"], "one_time_burst": 3, "ops": {"size": 1, "refill_time": 2}, "partuuid": "0eaa91a0-01",
    "path_on_host": "/r", "rate_limiter": {}, "refill_time": 100, "reg_modifiers": [], "rx_rate_limiter": {}, "show_level": True,
    "show_log_origin": True, "size": 1, "smt": True, "socket": "/s", "state": "Paused", "stats_polling_interval_s": 1,
    "track_dirty_pages": True, "tx_rate_limiter": {}, "uds_path": "/v", "vcpu_count": 2, "vcpu_features": [], "version": "V2",
    "vmm_version": "1.12.1", "vsock": {"guest_cid": 3, "uds_path": "/v"}, "vsock_id": "v",
}  # fmt: skip


def struct_of(name: str) -> type[msgspec.Struct]:
    struct: type[msgspec.Struct] = getattr(resources, name)
    return struct


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_fields_are_the_documented_ones(name: str) -> None:
    required, optional = (set(fields.split()) for fields in DOCUMENTED[name])
    fields = msgspec.structs.fields(struct_of(name))
    assert {field.encode_name for field in fields if field.required} == required
    assert {field.encode_name for field in fields if not field.required} == optional


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_value_with_every_field_comes_back_whole_and_each_required_one_is_asked_for(name: str) -> None:
    required, optional = (fields.split() for fields in DOCUMENTED[name])
    whole = {field: VALUES[field] for field in (*required, *optional)}
    struct = struct_of(name)
    value = msgspec.convert(whole, struct)
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(value)), struct) == value
    for field in required:
        with pytest.raises(msgspec.ValidationError, match=f"missing required field `{field}`"):
            msgspec.convert({other: it for other, it in whole.items() if other != field}, struct)
    for field in optional:
        if (name, field) in NO_NULL or name in READ:
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(whole | {field: None}, struct)
        else:
            msgspec.convert(whole | {field: None}, struct)
    unknown = whole | {"unheard_of": 1}
    if name in READ:  # a newer Firecracker may say more
        assert msgspec.convert(unknown, struct) == value
    else:
        with pytest.raises(msgspec.ValidationError, match="unknown field `unheard_of`"):
            msgspec.convert(unknown, struct)


MACHINE = resources.FullVmConfiguration(
    boot_source=resources.BootSource("/vmlinux", boot_args="console=ttyS0 reboot=k panic=1"),
    drives=(
        resources.Drive(
            "data", False, is_read_only=True, path_on_host="/data",
            rate_limiter=resources.RateLimiter(bandwidth=resources.TokenBucket(1 << 20, 1000, one_time_burst=5)),
        ),
        resources.Drive("rootfs", True, is_read_only=False, path_on_host="/rootfs.ext4", partuuid="0eaa91a0-01"),
    ),
    machine_config=resources.MachineConfiguration(2, 256, cpu_template="T2"),
    cpu_config="/cpu.json",
    network_interfaces=(resources.NetworkInterface("eth0", "tap0", guest_mac="AA:FC:00:00:00:01"),),
    vsock=resources.Vsock(3, "/v.sock"),
    balloon=resources.Balloon(16, True),
    entropy=resources.EntropyDevice(),
    mmds_config=resources.MmdsConfig(("eth0",), version="V2"),
    logger=resources.Logger(log_path="/log", level="Debug"),
    metrics=resources.Metrics("/metrics"),
)  # fmt: skip


def test_a_whole_file(update_golden: bool) -> None:
    text = vm_json.encode(MACHINE).decode()
    assert vm_json.decode(text, Path("vm.json")) == MACHINE
    golden("firecracker-vm.json", text, update=update_golden)


def test_the_requests_and_their_order(update_golden: bool) -> None:
    cpu = resources.CpuConfig(kvm_capabilities=["!56"])
    calls = [*requests.configure(MACHINE, cpu_config=cpu, metadata='{"a":"ä"}'), requests.action("InstanceStart")]
    lines = [f"{one.method} {one.path} {one.body.decode()}" for one in calls]
    golden("firecracker-requests.txt", "\n".join(lines) + "\n", update=update_golden)


def test_actions_and_states() -> None:
    assert requests.action("SendCtrlAltDel") == requests.Request("PUT", "/actions", b'{"action_type":"SendCtrlAltDel"}')
    assert requests.set_state("Paused") == requests.Request("PATCH", "/vm", b'{"state":"Paused"}')


def test_a_file_with_nulls_as_firecracker_writes_them() -> None:
    text = """{
      "boot-source": {"kernel_image_path": "vmlinux.bin", "boot_args": "console=ttyS0", "initrd_path": null},
      "drives": [{"drive_id": "rootfs", "partuuid": null, "is_root_device": true, "cache_type": "Unsafe", "is_read_only": false,
                  "path_on_host": "bionic.rootfs.ext4", "io_engine": "Sync", "rate_limiter": null, "socket": null}],
      "machine-config": {"vcpu_count": 2, "mem_size_mib": 1024, "smt": false, "track_dirty_pages": false, "huge_pages": "None"},
      "cpu-config": null, "balloon": null, "network-interfaces": [], "vsock": null, "logger": null, "metrics": null,
      "mmds-config": null, "entropy": null}"""
    machine = vm_json.decode(text, Path("vm.json"))
    assert machine.drives[0].path_on_host == "bionic.rootfs.ext4"
    assert b"null" not in vm_json.encode(machine)


BOOT = '"boot-source": {"kernel_image_path": "/k"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "vm.json:1: not JSON: Expecting value (column 1)"),
        ("{\n  x}", "vm.json:2: not JSON: Expecting property name enclosed in double quotes (column 3)"),
        ("[]", "vm.json: expected `object`, got `array`"),
        ("{" + BOOT + "}", 'vm.json: the field "drives" is missing'),
        ("{" + BOOT + ', "drives": [], "drive": []}', 'vm.json: unknown field "drive"; did you mean "drives"?'),
        (
            "{" + BOOT + ', "drives": [{"drive_id": "a", "is_root_device": true, "is_root": 1}]}',
            'vm.json: drives[0]: unknown field "is_root"; did you mean "is_root_device"?',
        ),
        (
            "{" + BOOT + ', "drives": [{"drive_id": 7, "is_root_device": true}]}',
            "vm.json: drives[0].drive_id: expected `str`, got `int`",
        ),
        (
            "{" + BOOT + ', "drives": [], "machine-config": {"vcpu_count": 33, "mem_size_mib": 1}}',
            "vm.json: machine-config.vcpu_count: expected `int` <= 32",
        ),
        (
            "{" + BOOT + ', "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 1, "cpu_template": "T3"}}',
            "vm.json: machine-config.cpu_template: expected one of C3, T2, T2S, T2CL, T2A, V1N1, None, got 'T3'",
        ),
        (
            "{" + BOOT + ', "drives": [], "network-interfaces": [{"iface_id": "e", "host_dev_name": "t", "guest_mac": "x"}]}',
            "vm.json: network-interfaces[0].guest_mac: expected as in AA:FC:00:00:00:01",
        ),
        ("{" + BOOT + ', "drives": [], "logger": {"level": "loud"}}', "vm.json: logger.level: expected Error, Warning, Info, Debug, Trace or Off"),
        ("{" + BOOT + ', "drives": [], "drives": []}', 'vm.json: "drives" stands twice in one object'),
        ("{" + BOOT + ', "drives": NaN}', "vm.json: not JSON: NaN"),
        ('{"boot-source": {"kernel_image_path": "\\ud800"}, "drives": []}', "vm.json: not JSON: a half of a surrogate pair"),
        ("[" * 100_000, "vm.json: nested too deeply"),
    ],
)  # fmt: skip
def test_errors_name_file_and_field(text: str, message: str) -> None:
    with pytest.raises(ApplianceError) as caught:
        vm_json.decode(text, Path("vm.json"))
    assert str(caught.value) == message


def test_an_id_that_only_a_file_may_have_is_told_by_one_that_a_path_may_have() -> None:
    """Firecracker looks at ids in the paths of requests alone: src/firecracker/src/api_server/parsed_request.rs, checked_id."""
    drives = ("my-volume.img", "my_volume_img", "/var/lib/x/../y z", "ä", "", "rootfs")
    cards = ("vm-net1", "vm-net1 ")
    text = {
        "boot-source": {"kernel_image_path": "/k"},
        "drives": [{"drive_id": one, "is_root_device": one == "rootfs", "path_on_host": "/d"} for one in drives],
        "network-interfaces": [{"iface_id": one, "host_dev_name": f"tap{n}"} for n, one in enumerate(cards)],
        "mmds-config": {"network_interfaces": ["vm-net1 "]},
    }
    machine = vm_json.decode(json.dumps(text), Path("vm.json"))
    assert json.loads(vm_json.encode(machine))["drives"][0]["drive_id"] == "my-volume.img", "a file keeps them"
    told = {one.path: json.loads(one.body) for one in requests.configure(machine)}
    names = ("my_volume_img_1", "my_volume_img", "_var_lib_x____y_z", "_", "__1", "rootfs")
    assert [path.removeprefix("/drives/") for path in told if path.startswith("/drives/")] == list(names)
    assert [told[f"/drives/{one}"]["drive_id"] for one in names] == list(names)
    assert told["/network-interfaces/vm_net1"]["host_dev_name"] == "tap0"
    assert told["/network-interfaces/vm_net1_"]["host_dev_name"] == "tap1"
    assert told["/mmds/config"]["network_interfaces"] == ["vm_net1_"]
    assert requests.addressable(requests.addressable(machine)) == requests.addressable(machine)


def test_metadata_is_an_object_in_one_line() -> None:
    assert vm_json.decode_metadata('{\n "a": ["ä", 1.5]\n}', Path("m.json")) == '{"a":["ä",1.5]}'
    for text, kind in (("[]", "a list"), ('"x"', "a string"), ("true", "true or false"), ("null", "null"), ("1", "a number")):
        with pytest.raises(ApplianceError, match=kind):
            vm_json.decode_metadata(text, Path("m.json"))


def test_a_cpu_template_of_ones_own() -> None:
    template = vm_json.decode_cpu_config(json.dumps({"msr_modifiers": [{"addr": "0x10a", "bitmap": "0b0"}]}), Path("cpu.json"))
    (request,) = [one for one in requests.configure(MACHINE, cpu_config=template) if one.path == "/cpu-config"]
    assert json.loads(request.body) == {"msr_modifiers": [{"addr": "0x10a", "bitmap": "0b0"}]}
    with pytest.raises(ApplianceError, match=r'cpu\.json: unknown field "msr_modifier"; did you mean "msr_modifiers"'):
        vm_json.decode_cpu_config('{"msr_modifier": []}', Path("cpu.json"))
