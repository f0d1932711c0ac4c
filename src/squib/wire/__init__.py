"""Strict codecs with the peers' own names: unknown fields are errors. No I/O."""
