"""What the Dockerfile builds on cannot change under its name."""

from __future__ import annotations

import re

from support import PROJECT


def test_every_base_is_pinned_by_its_digest() -> None:
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    stages = set(re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE))
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    bases = [
        re.sub(r"\$\{(\w+)\}", lambda name: defaults[name[1]], base) for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    ]
    images = [base for base in bases if base != "scratch" and base not in stages]
    assert images
    assert all(re.fullmatch(r"[a-z0-9./:-]+@sha256:[0-9a-f]{64}", image) for image in images), images
