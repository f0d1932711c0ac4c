"""Pure bytes: file formats as functions from values to bytes and back. No I/O."""
