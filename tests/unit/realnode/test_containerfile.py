"""What a Containerfile of ours says, read by the builder of the test node's images."""

import pytest

from rayfleet.testing.realkube import RealKubeError
from rayfleet.testing.realnode.containerfile import read_recipe
from rayfleet.testing.realnode.images import CONTROLLER, LLAMACPP, SIDECAR, recipes

DEPENDENCIES = {"": ["click>=8"], "local": ["ray==2.60.0"]}
TEXT = """\
# A comment.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE} AS build
COPY . /src
USER 0:0
ENV LEFT=behind
RUN python3 -m venv /opt/venv \\
 && /opt/venv/bin/pip install --no-cache-dir --constraint /src/constraints.txt aiohttp '/src[local]' \\
 && /opt/venv/bin/pip install --no-cache-dir --no-deps /src \\
# Between two lines of one instruction.
 && rm -rf /opt/venv/lib/python3*/site-packages/pip*

FROM ${BASE}
RUN apt-get update \\
 && apt-get install --yes --no-install-recommends libgomp1
COPY --from=build /opt/venv /opt/venv
ENV A=1 B='two words'
ENV C=3
USER 65532:65532
ENTRYPOINT ["rayfleet"]
"""


def test_packages_come_from_every_stage_and_the_rest_from_the_last() -> None:
    recipe = read_recipe(TEXT, DEPENDENCIES)
    assert recipe.requirements == ("aiohttp", "click>=8", "ray==2.60.0")
    assert recipe.debian == ("libgomp1",)
    assert (recipe.user, recipe.entrypoint) == ("65532:65532", ("rayfleet",))
    assert recipe.environment == {"A": "1", "B": "two words", "C": "3"}


@pytest.mark.parametrize(
    "line",
    [
        "RUN curl http://example.com",
        "RUN apt-get update && pip install ray",
        "COPY keys /root",
        "ARG OTHER=1",
        "VOLUME /data",
        "WORKDIR /opt",
        'CMD ["a"]',
    ],
)
def test_what_the_builder_would_leave_out_is_refused(line: str) -> None:
    with pytest.raises(RealKubeError, match="the test node"):
        read_recipe(f"{TEXT}{line}\n", DEPENDENCIES)


def test_our_own_files_are_read_and_start_as_a_number_that_is_not_root() -> None:
    ours = recipes()
    assert {name: recipe.entrypoint for name, recipe in ours.items()} == {
        CONTROLLER: ("rayfleet",),
        SIDECAR: ("rayfleet-sidecar",),
        LLAMACPP: (),
    }
    assert {recipe.user for recipe in ours.values()} == {"65532:65532"}
    assert ours[SIDECAR].requirements == ("aiohttp", "orjson")
    assert any(word.startswith("kubernetes") for word in ours[CONTROLLER].requirements)
    assert ours[LLAMACPP].debian == ("libgomp1",)
