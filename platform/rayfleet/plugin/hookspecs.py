"""The hooks.

Each is called once in every process that loads plugins, while that process is composed: ``rayfleet apply``, ``up``,
``model fetch`` and ``controller``, the controllers and the node of a single machine, and llama.cpp's driver with its
actors. What comes back is checked, frozen and then used directly; a hook is never called again, so what it returned is
never read anew. Plugins are asked in the order of their names. The first exception of a hook, and the first result that
is not as described, ends the process with a PluginError that names the plugin. The gateway and the controllers go on:
they log the error, and leave out what cannot be used.
"""

from collections.abc import Sequence

import pluggy

from rayfleet.model.engine import LocalEnvironment
from rayfleet.plugin.contracts import CommandReader, Engine, Filter, ModelSource, Picker, Scorer

PROJECT = "rayfleet"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def rayfleet_engines() -> Sequence[Engine]:
    """Contribute engines; ``spec.serving.engine`` names one.

    Called: once in each process that loads plugins. The engines are asked by ``apply`` and ``up`` before a fleet is
    sent, and by the controllers in every pass over a fleet with ``spec.serving``.
    Raises: nothing; an exception ends the process, and the controllers go on without the plugin. Names are unique among
    all plugins: a second engine of a name is an error that names both. What an engine raises when controllers ask it,
    and an answer that does not come within a second, is a problem of the fleets that name it.
    Owner: the registry owns the engines for the life of the process; the plugin does not change them any more.

    :return: New engine objects; may be empty.
    """
    raise NotImplementedError


@hookspec
def rayfleet_model_sources() -> Sequence[ModelSource]:
    """Contribute model sources, by the scheme before the colon of ``spec.serving.model``.

    Called: once in each process that loads plugins. The sources fetch in worker threads of ``rayfleet up`` and
    ``model fetch`` and of the nodes that load a model, several processes at once.
    Raises: nothing; an exception ends the process. Schemes are unique among all plugins, as engines are.
    Owner: the registry owns the sources for the life of the process.

    :return: New model sources; may be empty.
    """
    raise NotImplementedError


@hookspec
def rayfleet_local_environments() -> Sequence[LocalEnvironment]:
    """Contribute environments that stand for container images on a single machine.

    Called: once in each process that loads plugins. The node looks an image up in them when a pod starts, and ``up``
    when it decides which models are fetched beforehand.
    Raises: nothing; an exception ends the process. Names are unique among all plugins, as engines are; of two that
    stand for the same image the first by plugin name is taken.
    Owner: values; nobody changes them.

    :return: Values; may be empty.
    """
    raise NotImplementedError


@hookspec
def rayfleet_command_readers() -> Sequence[CommandReader]:
    """Contribute readers of engines' command lines, for checks of templates that people wrote themselves.

    Called: once in each process that loads plugins. The readers are asked by ``lint``, ``plan`` and ``apply`` for each
    command of a head's Ray container; what they read is advice to a person and decides nothing.
    Raises: nothing; an exception ends the process. Names are unique among all plugins: one reader an engine.
    Owner: the registry owns the readers for the life of the process.

    :return: New readers; may be empty.
    """
    raise NotImplementedError


@hookspec
def rayfleet_filters() -> Sequence[Filter]:
    """Contribute filters, which drop endpoints before they are scored, by the name that routing profiles use for them.

    Called: once in each process that loads plugins. The gateway calls the filters of a route's profile for each of its
    requests, in the loop that every stream shares.
    Raises: nothing; the gateway logs an exception and goes on without the plugin's filters. Names are unique among all
    plugins: of two filters of a name the gateway uses the first by plugin name.
    Owner: the gateway owns the filters for the life of the process. One that raises is left out of that request, and
    after some in a row for a minute, then for longer; so is one that takes more than 5 ms.

    :return: New filters; may be empty.
    """
    raise NotImplementedError


@hookspec
def rayfleet_scorers() -> Sequence[Scorer]:
    """Contribute scorers, which rate endpoints, by the name that routing profiles use for them.

    Called: once in each process that loads plugins. The gateway calls the scorers of a route's profile for each of its
    requests, in the loop that every stream shares.
    Raises: nothing; the gateway logs an exception and goes on without the plugin's scorers. Names are unique among all
    plugins: of two scorers of a name the gateway uses the first by plugin name.
    Owner: the gateway owns the scorers for the life of the process. One that raises is left out of that request, and
    after some in a row for a minute, then for longer; so is one that takes more than 5 ms.

    :return: New scorers; may be empty.
    """
    raise NotImplementedError


@hookspec
def rayfleet_pickers() -> Sequence[Picker]:
    """Contribute pickers, which choose one of the endpoints left, by the name that routing profiles use for them.

    Called: once in each process that loads plugins. The gateway calls the pickers of a route's profile for each of its
    requests, in the loop that every stream shares.
    Raises: nothing; the gateway logs an exception and goes on without the plugin's pickers. Names are unique among all
    plugins: of two pickers of a name the gateway uses the first by plugin name.
    Owner: the gateway owns the pickers for the life of the process. One that raises is left out of that request, and
    after some in a row for a minute, then for longer; so is one that takes more than 5 ms.

    :return: New pickers; may be empty.
    """
    raise NotImplementedError
