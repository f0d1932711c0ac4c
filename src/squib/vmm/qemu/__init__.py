"""QEMU: argv as a pure function, launch, and QMP."""
