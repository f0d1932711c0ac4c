"""Kernel configurations: read, compared, and squib's own fragment."""

from __future__ import annotations

import re

import pytest

from squib.build.kernel_build import FRAGMENT, fragment
from squib.errors import ApplianceError
from squib.formats.kconfig import dropped, parse, without

TEXT = """#
# Linux/x86 6.1.192 Kernel Configuration
#
CONFIG_SMP=y
CONFIG_NR_CPUS=32
CONFIG_LOCALVERSION="-squib"
# CONFIG_MODULES is not set

CONFIG_PHYSICAL_START=0x200000
"""


def test_what_stands_in_it() -> None:
    assert parse(TEXT, ".config") == {
        "CONFIG_SMP": "y",
        "CONFIG_NR_CPUS": "32",
        "CONFIG_LOCALVERSION": '"-squib"',
        "CONFIG_MODULES": "n",
        "CONFIG_PHYSICAL_START": "0x200000",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("SMP=y", "f:1: 'SMP=y' is no line"),
        ("CONFIG_SMP = y", "no line"),
        ("CONFIG_SMP=yes", "no line"),
        ('CONFIG_A="open', "no line"),
        ("CONFIG_SMP=y\nCONFIG_SMP=y", "f:2: CONFIG_SMP stands twice"),
        ("CONFIG_SMP=y\n# CONFIG_SMP is not set", "f:2: CONFIG_SMP stands twice"),
    ],
)
def test_what_is_none(line: str, said: str) -> None:
    with pytest.raises(ApplianceError, match=re.escape(said)):
        parse(line, "f")


def test_lines_that_did_not_take_are_named() -> None:
    wanted = parse("CONFIG_A=y\nCONFIG_B=3\n# CONFIG_C is not set\nCONFIG_D=y\n# CONFIG_E is not set", "f")
    got = parse("CONFIG_A=y\nCONFIG_B=4\nCONFIG_C=y\n# CONFIG_D is not set", "f")
    assert dropped(wanted, got) == (
        "CONFIG_B=3 (it is CONFIG_B=4)",
        "# CONFIG_C is not set (it is CONFIG_C=y)",
        "CONFIG_D=y (it is # CONFIG_D is not set)",
    )


def test_a_no_can_be_taken_back() -> None:
    text = "# CONFIG_RETPOLINE is not set\nCONFIG_SMP=y\n# CONFIG_RETPOLINE_ELSE is not set\n# a comment\n"
    assert without(text, re.compile("CONFIG_(RETPOLINE|SMP)")) == text.partition("\n")[2]


def test_the_fragment_asks_for_what_an_appliance_cannot_do_without() -> None:
    asked = parse(fragment().decode("ascii"), FRAGMENT)
    needed = "PVH ACPI PCI VIRTIO_PCI VIRTIO_MMIO VIRTIO_BLK VIRTIO_NET EXT4_FS DEVTMPFS_MOUNT IP_PNP BINFMT_SCRIPT MULTIUSER"
    to_stop = "SERIO_I8042 KEYBOARD_ATKBD VT"
    assert {f"CONFIG_{name}" for name in f"{needed} {to_stop} VMGENID HW_RANDOM_VIRTIO SECCOMP_FILTER".split()} <= {
        name for name, value in asked.items() if value == "y"
    }
    assert asked["CONFIG_MODULES"] == asked["CONFIG_BLK_DEV_INITRD"] == "n"
