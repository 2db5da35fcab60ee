"""Images: which cannot join a Ray cluster, which change under a fleet, which differ. Pure."""

from collections.abc import Iterator

from rayfleet.manifest.checking import shown
from rayfleet.objects.container_specs import container_image, container_words
from rayfleet.objects.images import image_reference
from rayfleet.objects.parts import mappings
from rayfleet.objects.ray_spec import pod_spec, ray_version_of, ray_version_text
from rayfleet.objects.shell_commands import simple_commands
from rayfleet.preflight.findings import Finding
from rayfleet.preflight.subject import Group, Subject

_INSTALLERS = ("pip", "pip3", "uv", "apt", "apt-get", "conda", "microdnf", "dnf", "yum", "apk")
_RAY_IMAGES = ("rayproject/ray", "rayproject/ray-ml", "rayproject/ray-llm")
_FLOATING_TAGS = frozenset({"", "latest", "nightly", "main", "master", "dev", "edge"})
_HTTP_PROBES_SINCE = (2, 53)


def floating_images(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each image whose name may mean another one tomorrow.

    One that a local environment stands for is never pulled.
    """
    for group in subject.groups:
        for field in ("initContainers", "containers"):
            for place, container in enumerate(mappings(pod_spec(group.raw).get(field))):
                image = container_image(container)
                reference = image_reference(image)
                is_local = any(each.stands_for(image) for each in subject.environments)
                if image and not is_local and not reference.digest and reference.tag in _FLOATING_TAGS:
                    path = f"{group.path}.template.spec.{field}[{place}].image"
                    message = (
                        f"{shown(image)} may mean another image at each pull: replicas of one revision then differ, and"
                        " no rollout brings a new one; name a version"
                    )
                    yield Finding(rule="latest-image", path=path, message=message)


def images_without_ray(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each Ray container of a published image that ships no Ray, unless it installs Ray itself.

    Where nothing starts Ray none is needed, or another rule tells of it.
    """
    for group in filter(subject.starts_ray, subject.groups):
        image = container_image(group.ray_container)
        lack = next(filter(None, (reader.image_lack(image) for reader in subject.readers)), "")
        if lack and not any("ray" in " ".join(command) for command in _installs(group)):
            path = f"{group.container_path(0)}.image"
            yield Finding(rule="image-without-ray", path=path, message=f"{shown(image)} {lack}")


def known_holes(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each image of a Ray container that has known holes which a newer version closes."""
    named: set[str] = set()
    for group in subject.groups:
        image = container_image(group.ray_container)
        holes = [hole for reader in subject.readers for hole in reader.image_risks(image)]
        if holes and image not in named:
            named.add(image)
            message = f"{shown(image)} has known holes that a newer version closes: {'; '.join(holes)}"
            yield Finding(rule="known-holes", path=f"{group.container_path(0)}.image", message=message)


def boot_installs(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each Ray container that installs packages whenever it starts."""
    for group in subject.groups:
        commands = [" ".join(command) for command in _installs(group)]
        if commands:
            message = (
                f"installs packages at every start ({shown('; '.join(commands))}): slower, unpinned, and head and"
                " workers may get different versions; build them into the image"
            )
            yield Finding(rule="installs-at-start", path=group.container_path(0), message=message)


def mixed_images(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each worker group whose Ray container has another image than the head's."""
    head = container_image(subject.head.ray_container)
    for group in subject.workers:
        image = container_image(group.ray_container)
        if head and image and image_reference(image) != image_reference(head):
            message = (
                f"{shown(image)} is not the head's image, {shown(head)}: Python, Ray and engine must be the same on all"
                " nodes"
            )
            yield Finding(rule="mixed-images", path=f"{group.container_path(0)}.image", message=message)


def ray_versions(subject: Subject) -> Iterator[Finding]:
    """Yield a warning where ``rayVersion`` does not fit what the image's own tag says."""
    stated = ray_version_of(ray_version_text(subject.spec))
    for group in subject.groups:
        image = container_image(group.ray_container)
        reference = image_reference(image)
        tagged = ray_version_of(reference.tag) if reference.name in _RAY_IMAGES else None
        if stated is not None and tagged is not None and stated != tagged:
            message = (
                f"{shown(ray_version_text(subject.spec))} is not the Ray of {shown(image)}: KubeRay chooses probes"
                " and tokens by it; write the image's"
            )
            yield Finding(rule="ray-version", path=f"{subject.path}.rayVersion", message=message)
            return


def ray_probes(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each group whose Ray container gets KubeRay's probes of an old Ray, which need ``wget``."""
    text = ray_version_text(subject.spec)
    if (ray_version_of(text) or (0, 0)) >= _HTTP_PROBES_SINCE:
        return
    for group in subject.groups:
        container = group.ray_container
        missing = [name for name in ("readinessProbe", "livenessProbe") if not container.get(name)]
        named = image_reference(container_image(container)).name
        has_wget = named in _RAY_IMAGES or "wget" in " ".join(container_words(container))
        if container and missing and not has_wget:
            stated = f"rayVersion {shown(text)}" if text else "no rayVersion"
            message = (
                f"with {stated} KubeRay gives it a {missing[0]} that runs wget, and the image may have none: the pod is"
                " then never ready; write the Ray version of the image (2.53 and later are asked by HTTP), or a probe"
            )
            yield Finding(rule="ray-probes", path=group.container_path(0), message=message)


def _installs(group: Group) -> Iterator[list[str]]:
    for command in simple_commands(group.ray_container):
        words = [word.rpartition("/")[2] for word in command]
        first = words.index("-m") + 1 if words[:1] and words[0].startswith("python") and "-m" in words else 0
        if words[first:] and words[first] in _INSTALLERS and {"install", "add"} & set(words):
            yield list(command)
