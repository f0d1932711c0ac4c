"""The benchmark house: what docs/promises.md promises, measured. bench/README.md says how it is used and extended."""
