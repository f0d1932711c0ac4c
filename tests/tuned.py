"""The tuned kernel for tests that boot it: the cached one; in CI it is compiled where there is none yet, once for the cache."""

from __future__ import annotations

from squib.build import kernel_build
from squib.build.kernels import Kernel
from squib.build.tuned_kernels import TunedKernel
from squib.errors import MissingError
from squib.model.progress import silent
from support import CI, missing

__all__ = ["COMPILE_S", "tuned_kernel"]

COMPILE_S = 3600
"""For the time limit of a test that may be the one to compile it."""


def tuned_kernel() -> Kernel:
    """The kernel, in the cache of whoever runs the tests."""
    try:
        return TunedKernel().obtain(silent)
    except MissingError as error:
        if not CI:
            missing(f"{error}: squib kernel build")
        return kernel_build.build(kernel_build.plan(), None, silent)
