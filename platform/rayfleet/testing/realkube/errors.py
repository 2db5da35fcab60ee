"""What can go wrong while a real Kubernetes is brought onto this machine.

::

    EnvironmentProblem
    └── RealKubeError          no toolchain, no space, a build or a download that failed
        └── ServerStartError   etcd or kube-apiserver ended, or did not get ready in time
"""

from rayfleet.model.errors import EnvironmentProblem


class RealKubeError(EnvironmentProblem):
    """The real Kubernetes cannot be had here; the message has the last lines of what failed."""


class ServerStartError(RealKubeError):
    """etcd or kube-apiserver did not start; the message has the end of its log."""
