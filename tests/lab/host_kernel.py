"""The lab host's kernel: the distribution's, with the modules that a host of virtual machines needs and a guest does not."""

from __future__ import annotations

from squib.build import kernel_cache, kernel_modules, kernel_package
from squib.build.kernels import Kernel
from squib.formats.kernel_module import load_order
from squib.formats.linux_image import read_kernel
from squib.model.image import InputRecord
from squib.model.progress import Progress

_KEY = "lab-1"

MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng"),
    *("kvm_amd", "tun", "veth", "bridge", "dummy"),
    *("nf_tables", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq", "nft_redir", "nft_limit", "nft_log", "nft_numgen"),
    *("nft_reject_inet", "nft_fib_inet"),
)
"""Nothing on the lab host loads modules when they are wanted: what is not here is not there."""


def obtain(progress: Progress) -> Kernel:
    """The kernel, from the cache where it is there. Raises SquibError."""
    cached = kernel_cache.load(_KEY)
    if cached is not None and tuple(record.name for record in cached.inputs if not record.sha256) == MODULES:
        return cached
    packages = kernel_package.find_packages()
    with kernel_package.opened(packages, progress) as members:
        image = read_kernel(kernel_package.vmlinuz(members, packages[0].name))
        files, builtin = kernel_package.module_files(members), kernel_package.builtin_modules(members)
        wanted = [name for name in MODULES if name not in builtin]
        modules = load_order(wanted, kernel_modules.closure(wanted, files, builtin))
    inputs = tuple(InputRecord(package.name, package.version, package.sha256) for package in packages)
    # What was asked for goes into the record, so that a longer list is not answered from the cache.
    asked = tuple(InputRecord(name, "", "") for name in MODULES)
    source = f"package {packages[0].name} {packages[0].version}"
    return kernel_cache.store(_KEY, image, modules, source=source, inputs=(*inputs, *asked))
