"""What is known of images: versions of tags, open holes, and the backend that follows."""

import pytest

from rayfleet.objects.images import image_reference
from rayfleet.plugin.images import Hole, risks, tagged_version


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("a/b:v0.18.1-cu130", (0, 18, 1)),
        ("a/b:0.5.10.post1", (0, 5, 10)),
        ("a/b:v0.32", (0, 32)),
        ("a/b:1.3.0rc14", (1, 2, 999)),
        ("a/b:1.0.0rc1", (0, 999, 999)),
        ("a/b:1.2.1rc1", (1, 2, 0, 999)),
        ("a/b:latest", None),
        ("a/b:25", None),
        ("a/b", None),
        ("registry:5000/a/b", None),
    ],
)
def test_the_version_of_a_tag(image: str, version: tuple[int, ...] | None) -> None:
    assert tagged_version(image_reference(image)) == version


def test_a_hole_is_open_until_the_version_that_closes_it() -> None:
    holes = (
        Hole(fixed=(1, 2, 0), name="X-1", words="lets strangers in"),
        Hole(fixed=(1, 3), name="X-2", words="stops"),
    )
    assert risks((1, 1, 9), holes) == ("X-1: lets strangers in; closed in 1.2.0", "X-2: stops; closed in 1.3")
    assert risks((1, 2, 0), holes) == ("X-2: stops; closed in 1.3",)
    assert risks(tagged_version(image_reference("a:1.3.0rc1")), holes) == ("X-2: stops; closed in 1.3",)
    assert risks((1, 3, 0), holes) == ()
    assert risks(None, holes) == ()
