"""What to do about a damaged artifact: never a command that would build another appliance."""

from __future__ import annotations

from pathlib import Path

import pytest

from squib.model.image import rebuild_hint


@pytest.mark.parametrize(
    ("folder", "name", "said"),
    [
        (None, "", "build the appliance again that it was made from: squib build APPLIANCE -o DIR"),
        (Path("/srv/b 2"), "", "build the appliance again that it was made from: squib build APPLIANCE -o '/srv/b 2'"),
        (
            Path("/srv/b2"),
            "shop",
            "build the appliance again that it was made from (its name is 'shop'): squib build APPLIANCE -o /srv/b2",
        ),
    ],
)
def test_it_says_that_an_appliance_has_to_be_named(folder: Path | None, name: str, said: str) -> None:
    assert rebuild_hint(folder, name) == said
