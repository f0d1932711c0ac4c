"""Frozen values that the rooms hand to each other. No I/O, no third-party imports."""
