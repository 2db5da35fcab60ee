"""Checks of how nodes are started without Ray: one process of the engine on each, which knows its rank.

The scripts of all ranks of a replica are run, each in an image without Ray. What other checks read of plans, they read
of these plans too.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from rayfleet.model.serving import Serving
from rayfleet.testing.launching import POD_IP, Image, Running
from rayfleet.testing.suites.engine.promises import FRAME, NODE, PLAN, promise
from rayfleet.testing.suites.engine.tested import DEAF, TestedEngine, no_waiting, rank_address, slept

_MEETING_PORT = 6379
_SECRETS = ("HF_TOKEN", "VLLM_API_KEY", "OPENAI_API_KEY", "API_KEY", "AWS_SECRET_ACCESS_KEY")
_SECRET = "a-token-that-must-not-be-told"  # noqa: S105 - a test's own


class RankChecks(TestedEngine):
    """On when ``rank_programs`` is declared."""

    @promise(PLAN)
    def test_it_declares_its_ranks(self) -> None:
        """``rank_programs`` names the programs of an engine that spans nodes without Ray, and only of one that does."""
        spans = [serving.nodes for serving in self.servings_without_ray() if serving.nodes > 1]
        assert not spans or self.rank_programs, f"it spans {spans[0]} nodes without Ray: declare rank_programs"
        assert spans or not self.rank_programs, "no plan of it spans nodes without Ray: declare no rank_programs"

    @promise(PLAN, needs="rank_programs")
    def test_ranks_are_told_apart(self, tmp_path: Path) -> None:
        """No two nodes run the same words, but for their addresses: each is told its rank."""
        words = self._words(self._ranked, tmp_path)
        lines = {f"{self.rank_program(rank)} {_without_addresses(each, rank)}" for rank, each in enumerate(words)}
        assert len(lines) == len(words), f"ranks are started with the same words: {words}"

    @promise(PLAN, needs="rank_programs")
    def test_ranks_meet_at_the_head(self, tmp_path: Path) -> None:
        """Those that all run one program are told the head's address, and the port that is theirs there."""
        for rank, words in enumerate(self._words(self._ranked, tmp_path)):
            text = " ".join(words)
            is_alike = len(self.rank_programs) == 1
            assert not is_alike or POD_IP in text, f"rank {rank} is not told $head_address: {text}"
            assert not is_alike or str(_MEETING_PORT) in text, f"rank {rank} is not told $rendezvous: {text}"

    @promise(NODE, needs="rank_programs")
    def test_arguments_reach_every_rank(self, tmp_path: Path) -> None:
        """In their order, whole, on every node that runs the program of the head."""
        expected = list(self.reaching(self.arguments))
        for rank, words in enumerate(self._words(replace(self._ranked, arguments=self.arguments), tmp_path)):
            is_as_head = self.rank_program(rank) == self.rank_program(0)
            assert not is_as_head or words[-len(expected) :] == expected, f"to rank {rank} they came as {words}"

    @promise(NODE, needs="rank_programs")
    def test_no_secret_comes_among_the_words_of_a_rank(self, tmp_path: Path) -> None:
        """Who may list processes reads their words, on every node."""
        for rank, words in enumerate(self._words(self._ranked, tmp_path)):
            shown = [word for word in words if _SECRET in word]
            assert shown == [], f"a secret of the environment is among the words of rank {rank}: {shown}"

    @promise(FRAME, needs="rank_programs")
    def test_a_rank_ends_with_the_status_of_its_engine(self, tmp_path: Path) -> None:
        """Whichever it is: the container's state shows it, and all of them start anew."""
        for rank in range(self._ranked.nodes):
            with self._started(self.rank_image(tmp_path / str(rank), rank, "exit 3"), rank) as script:
                status = script.ended().status
            assert status == 3, f"the engine of rank {rank} ended with 3, the script with {status}"

    @promise(FRAME, needs="rank_programs")
    def test_a_rank_leaves_at_sigterm(self, tmp_path: Path) -> None:
        """With 0, and nothing of it outlives it."""
        for rank in range(self._ranked.nodes):
            image = self.rank_image(tmp_path / str(rank), rank)
            with self._started(image, rank) as script:
                image.wait_for("engine.noted")
                script.terminate()
                status = script.ended().status
            assert status == 0, f"the script of rank {rank} was asked to end, and ended with {status}"

    @promise(FRAME, needs="rank_programs")
    def test_a_rank_kills_an_engine_that_hangs_at_sigterm(self, tmp_path: Path) -> None:
        """After its limit, with all that descends from it."""
        for rank in range(self._ranked.nodes):
            image = self.rank_image(tmp_path / str(rank), rank, DEAF)
            no_waiting(image)
            with self._started(image, rank) as script:
                image.wait_for("deaf")
                script.terminate()
                status = script.ended().status
            assert status == 0, f"the script of rank {rank} ended with {status}"
            assert max(slept(image)) > 0

    @promise(FRAME, needs="rank_programs")
    def test_a_rank_that_lacks_its_program_says_which(self, tmp_path: Path) -> None:
        """At once and by name, with what to do about it; Ray is no program of it."""
        for rank in range(self._ranked.nodes):
            image, program = self.rank_image(tmp_path / str(rank), rank), self.rank_program(rank)
            image.take(program)
            with self._started(image, rank) as script:
                ended = script.ended()
            assert ended.status == 1, f"rank {rank} without {program}"
            assert f"has no '{program}'" in ended.output, ended.output
            assert "spec.serving.image" in ended.output

    @property
    def _ranked(self) -> Serving:
        """What it can do on the most nodes without Ray."""
        return max(self.servings_without_ray(), key=lambda serving: serving.nodes)

    def _started(self, image: Image, rank: int, serving: Serving | None = None) -> AbstractContextManager[Running]:
        """Run the script of a rank of ``serving``, that of the most nodes unless another is given."""
        plan = self.engine.launch_plan(serving or self._ranked)
        launch = (plan.head, *plan.ranks)[rank]
        return image.running(launch, head=f"{POD_IP if rank else '127.0.0.1'}:{_MEETING_PORT}")

    def _words(self, serving: Serving, folder: Path) -> list[list[str]]:
        """Return the words of the engine on each node, the head first; secrets stand in the environment."""
        words = []
        for rank in range(serving.nodes):
            image = self.rank_image(folder / str(rank), rank)
            image.variables.update(dict.fromkeys(_SECRETS, _SECRET))
            with self._started(image, rank, serving):
                image.wait_for("engine.noted")
                words.append(image.wait_for("engine.words").split("\0")[:-1])
        return words


def _without_addresses(words: list[str], rank: int) -> str:
    return " ".join(words).replace(rank_address(rank), "$POD_IP").replace(POD_IP, "$POD_IP")
