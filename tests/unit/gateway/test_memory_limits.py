"""The memory that a container may use, as the cgroups of either version tell it."""

from pathlib import Path

import pytest

from rayfleet_gateway.planes.python.limits import cgroup_limits


@pytest.mark.parametrize(
    ("file", "text", "limits"),
    [
        ("memory.max", "536870912\n", [536870912]),
        ("memory.max", "max\n", []),
        ("memory/memory.limit_in_bytes", "268435456\n", [268435456]),
        ("memory/memory.usage_in_bytes", "1\n", []),
    ],
)
def test_each_version_tells_its_limit(tmp_path: Path, file: str, text: str, limits: list[int]) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert list(cgroup_limits(tmp_path)) == limits
