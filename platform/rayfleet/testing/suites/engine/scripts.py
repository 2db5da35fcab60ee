"""Checks of what the scripts do: who hears SIGTERM, who ends whom, and that nothing is left behind."""

import socket
import time
from pathlib import Path

from rayfleet.testing.launching import Running, real
from rayfleet.testing.suites.engine.promises import FRAME, NODE, promise
from rayfleet.testing.suites.engine.tested import DEAF, STAYS, TestedEngine, no_waiting, slept
from rayfleet.testing.waiting import wait_until

_FOR_EVER = f"while :; do {real('sleep')} 0.02; done"
_BORNE_SECONDS = 120  # more than any worker bears a dead head


class ScriptChecks(TestedEngine):
    """The scripts of head and worker, run. ``ended()`` itself claims that no process outlives a script."""

    @promise(FRAME)
    def test_a_head_ends_with_the_status_of_the_engine(self, tmp_path: Path) -> None:
        """The container's state shows it, and the container is started anew."""
        with self.head(self.image(tmp_path, engine="exit 3")) as script:
            status = script.ended().status
            assert status == 3, f"the engine ended with 3, the script with {status}"

    @promise(FRAME)
    def test_an_engine_that_ends_well_by_itself_has_failed(self, tmp_path: Path) -> None:
        """Nobody asked it to."""
        with self.head(self.image(tmp_path, engine="exit 0")) as script:
            assert script.ended().status == 1

    @promise(FRAME)
    def test_a_head_ends_with_ray(self, tmp_path: Path) -> None:
        """What the engine knows of its nodes is gone, so it goes too."""
        ray = f"until [ -e engine.noted ]; do {real('sleep')} 0.02; done"
        with self.head(self.image(tmp_path, ray=ray)) as script:
            ended = script.ended()
        assert ended.status == 1
        assert "Ray ended" in ended.output

    @promise(FRAME)
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

    @promise(FRAME)
    def test_a_head_kills_an_engine_that_hangs_at_sigterm(self, tmp_path: Path) -> None:
        """After its limit, with all that descends from it."""
        assert self.killed_after(self.most, tmp_path) > 0

    @promise(FRAME)
    def test_a_head_leaves_at_a_sigterm_that_comes_early(self, tmp_path: Path) -> None:
        """Whatever step it is at."""
        image = self.image(tmp_path)
        with self.head(image) as script:
            image.wait_for("ray.started")
            script.terminate()
            assert script.ended().status == 0

    @promise(FRAME)
    def test_a_head_forgets_the_address_of_its_former_life(self, tmp_path: Path) -> None:
        """Ray refuses to start while that file names the address of a node that still runs."""
        former = tmp_path / "temp" / "ray_current_cluster"
        former.parent.mkdir()
        former.touch()
        image = self.image(tmp_path, ray=f"[ -e {former} ] || touch forgotten; exit 1")
        with self.head(image, ray_start=f"ray start --head --temp-dir={former.parent} --block") as script:
            script.ended()
        assert (tmp_path / "forgotten").exists()

    @promise(FRAME)
    def test_rays_daemons_do_not_outlive_a_head(self, tmp_path: Path) -> None:
        """They drain for half a minute, for nothing: the engine is gone."""
        image = self.image(tmp_path, engine=f"until [ -e deaf ]; do {real('sleep')} 0.02; done; exit 4", ray=DEAF)
        no_waiting(image)
        with self.head(image) as script:
            assert script.ended().status == 4

    @promise(FRAME)
    def test_rays_daemons_do_not_outlive_a_worker(self, tmp_path: Path) -> None:
        """They drain for half a minute, for nothing: the engine is gone."""
        image = self.image(tmp_path, ray=DEAF)
        no_waiting(image)
        with self.worker(image) as script:
            image.wait_for("deaf")
            script.terminate()
            assert script.ended().status == 0

    @promise(FRAME)
    def test_a_worker_ends_with_ray(self, tmp_path: Path) -> None:
        """The container is started anew, and Ray with it."""
        with self.worker(self.image(tmp_path, ray="exit 0")) as script:
            assert script.ended().status == 1

    @promise(FRAME)
    def test_a_worker_leaves_at_sigterm(self, tmp_path: Path) -> None:
        """Its engine has ended already: the pod waits for that before it sends the signal."""
        image = self.image(tmp_path)
        with self.worker(image) as script:
            image.wait_for("ray.started")
            script.terminate()
            assert script.ended().status == 0

    @promise(FRAME)
    def test_a_worker_gives_up_a_dead_head(self, tmp_path: Path) -> None:
        """A restart finds the address of the head's next life; Ray itself would try the old one for ever."""
        image = self.image(tmp_path)
        no_waiting(image)
        with self.worker(image) as script:
            ended = script.ended()
        assert ended.status == 1
        assert "no Ray head at" in ended.output
        assert 10 < sum(slept(image)) < _BORNE_SECONDS

    @promise(FRAME)
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

    @promise(FRAME)
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

    @promise(NODE)
    def test_a_head_starts_ray_and_the_engine_once(self, tmp_path: Path) -> None:
        """A second engine would take the first one's port and memory."""
        image = self.image(tmp_path, engine=f"echo engine >>starts; {STAYS}", ray=f"echo ray >>starts; {STAYS}")
        with self.head(image) as script:
            starts = image.folder / "starts"
            wait_until(lambda: starts.exists() and len(starts.read_text().split()) > 1, "both", self.limit_seconds)
            script.terminate()
            script.ended()
        assert sorted(starts.read_text().split()) == ["engine", "ray"]

    @promise(NODE)
    def test_a_container_that_is_started_anew_works_again(self, tmp_path: Path) -> None:
        """Its files may be those of its former life."""
        image = self.image(tmp_path, engine="echo engine >>starts; exit 5")
        for life in (1, 2):
            with self.head(image) as script:
                status = script.ended().status
            assert status == 5, f"life {life} ended with {status}, not as the engine did"
        assert (tmp_path / "starts").read_text().split() == ["engine", "engine"]

    @promise(NODE)
    def test_what_the_engine_writes_is_in_the_containers_log(self, tmp_path: Path) -> None:
        """Both its outputs: people and ``rayfleet logs`` look there."""
        with self.head(self.image(tmp_path, engine="echo to-output; echo to-error >&2; exit 3")) as script:
            output = script.ended().output
        lost = [text for text in ("to-output", "to-error") if text not in output]
        assert lost == [], f"the engine wrote {lost}, and the log has not got it: {output!r}"

    @promise(FRAME)
    def test_a_killed_engine_is_told_by_the_status(self, tmp_path: Path) -> None:
        """137 for SIGKILL, as for an engine that took too much memory."""
        with self.head(self.image(tmp_path, engine='kill -KILL "$BASHPID"')) as script:
            status = script.ended().status
        assert status == 137, f"the engine was killed, and the script ended with {status}"

    @promise(FRAME)
    def test_a_second_sigterm_does_not_cut_the_drain(self, tmp_path: Path) -> None:
        """A kubelet that was restarted sends it once more."""
        finish = f"touch told; until [ -e again ]; do {real('sleep')} 0.02; done; touch finished; exit 0"
        image = self.image(tmp_path, engine=f"trap '{finish}' TERM; touch ready; {_FOR_EVER}")
        with self.head(image) as script:
            image.wait_for("ready")
            script.terminate()
            image.wait_for("told")
            script.terminate()
            turns = _turns(script)
            for _ in range(100):  # five looks later a script that cuts the drain has done so
                if not script.is_running() or _turns(script) > turns + 5:
                    break
                time.sleep(0.02)
            (tmp_path / "again").touch()
            assert script.ended().status == 0
        assert (tmp_path / "finished").exists(), "the engine did not get to finish what it was at"


def _turns(script: Running) -> int:
    """Return how often the script's own process has gone to sleep so far."""
    try:
        status = Path(f"/proc/{script.process.pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
