"""Checks of what the scripts do: who hears SIGTERM, who ends whom, and that nothing is left behind."""

import socket
from pathlib import Path

from rayfleet.testing.launching import real
from rayfleet.testing.suites.engine.tested import DEAF, TestedEngine, no_waiting, slept
from rayfleet.testing.waiting import wait_until

_FOR_EVER = f"while :; do {real('sleep')} 0.02; done"
_BORNE_SECONDS = 120  # more than any worker bears a dead head


class ScriptChecks(TestedEngine):
    """The scripts of head and worker, run. ``ended()`` itself claims that no process outlives a script."""

    def test_a_head_ends_with_the_status_of_the_engine(self, tmp_path: Path) -> None:
        """The container's state shows it, and the container is started anew."""
        with self.head(self.image(tmp_path, engine="exit 3")) as script:
            assert script.ended().status == 3

    def test_an_engine_that_ends_well_by_itself_has_failed(self, tmp_path: Path) -> None:
        """Nobody asked it to."""
        with self.head(self.image(tmp_path, engine="exit 0")) as script:
            assert script.ended().status == 1

    def test_a_head_ends_with_ray(self, tmp_path: Path) -> None:
        """What the engine knows of its nodes is gone, so it goes too."""
        ray = f"until [ -e engine.noted ]; do {real('sleep')} 0.02; done"
        with self.head(self.image(tmp_path, ray=ray)) as script:
            ended = script.ended()
        assert ended.status == 1
        assert "Ray ended" in ended.output

    def test_a_head_lets_the_engine_finish_at_sigterm(self, tmp_path: Path) -> None:
        """Ray, which the engine may need for that, is not told before the engine has ended."""
        ray = f"trap 'touch ray.told; exit 0' TERM; {_FOR_EVER}"
        finish = f"{real('sleep')} 0.2; [ -e ray.told ] || touch finished; exit 0"
        image = self.image(tmp_path, engine=f"trap '{finish}' TERM; touch ready; {_FOR_EVER}", ray=ray)
        with self.head(image) as script:
            image.wait_for("ready")
            script.terminate()
            assert script.ended().status == 0
        assert (tmp_path / "finished").exists()

    def test_a_head_kills_an_engine_that_hangs_at_sigterm(self, tmp_path: Path) -> None:
        """After its limit, with all that descends from it."""
        assert self.killed_after(self.most, tmp_path) > 0

    def test_a_head_leaves_at_a_sigterm_that_comes_early(self, tmp_path: Path) -> None:
        """Whatever step it is at."""
        image = self.image(tmp_path)
        with self.head(image) as script:
            image.wait_for("ray.started")
            script.terminate()
            assert script.ended().status == 0

    def test_a_head_forgets_the_address_of_its_former_life(self, tmp_path: Path) -> None:
        """Ray refuses to start while that file names the address of a node that still runs."""
        former = tmp_path / "temp" / "ray_current_cluster"
        former.parent.mkdir()
        former.touch()
        image = self.image(tmp_path, ray=f"[ -e {former} ] || touch forgotten; exit 1")
        with self.head(image, ray_start=f"ray start --head --temp-dir={former.parent} --block") as script:
            script.ended()
        assert (tmp_path / "forgotten").exists()

    def test_rays_daemons_do_not_outlive_a_head(self, tmp_path: Path) -> None:
        """They drain for half a minute, for nothing: the engine is gone."""
        image = self.image(tmp_path, engine=f"until [ -e deaf ]; do {real('sleep')} 0.02; done; exit 4", ray=DEAF)
        no_waiting(image)
        with self.head(image) as script:
            assert script.ended().status == 4

    def test_rays_daemons_do_not_outlive_a_worker(self, tmp_path: Path) -> None:
        """They drain for half a minute, for nothing: the engine is gone."""
        image = self.image(tmp_path, ray=DEAF)
        no_waiting(image)
        with self.worker(image) as script:
            image.wait_for("deaf")
            script.terminate()
            assert script.ended().status == 0

    def test_a_worker_ends_with_ray(self, tmp_path: Path) -> None:
        """The container is started anew, and Ray with it."""
        with self.worker(self.image(tmp_path, ray="exit 0")) as script:
            assert script.ended().status == 1

    def test_a_worker_leaves_at_sigterm(self, tmp_path: Path) -> None:
        """Its engine has ended already: the pod waits for that before it sends the signal."""
        image = self.image(tmp_path)
        with self.worker(image) as script:
            image.wait_for("ray.started")
            script.terminate()
            assert script.ended().status == 0

    def test_a_worker_gives_up_a_dead_head(self, tmp_path: Path) -> None:
        """A restart finds the address of the head's next life; Ray itself would try the old one for ever."""
        image = self.image(tmp_path)
        no_waiting(image)
        with self.worker(image) as script:
            ended = script.ended()
        assert ended.status == 1
        assert "no Ray head at" in ended.output
        assert 10 < sum(slept(image)) < _BORNE_SECONDS

    def test_a_worker_stays_with_a_head_that_lives(self, tmp_path: Path) -> None:
        """As long as its port can be reached."""
        image = self.image(tmp_path)
        no_waiting(image)
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
            address, port = server.getsockname()
            with self.worker(image, head=f"{address}:{port}") as script:
                wait_until(lambda: sum(slept(image)) > _BORNE_SECONDS, "the worker watches on", self.limit_seconds)
                assert script.is_running()
                script.terminate()
                assert script.ended().status == 0

    def test_an_image_that_lacks_a_program_is_told_which(self, tmp_path: Path) -> None:
        """At once and by name, with what to do about it."""
        for missing in ("ray", self.program, *self.programs):
            image = self.image(tmp_path)
            image.take(missing)
            for run in (self.head, self.worker):
                with run(image) as script:
                    ended = script.ended()
                assert ended.status == 1, missing
                assert f"has no '{missing}'" in ended.output
                assert "spec.serving.image" in ended.output
