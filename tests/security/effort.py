"""How much a fuzz test tries."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, seed

Test = TypeVar("Test", bound=Callable[..., None])


class Effort(NamedTuple):
    """How much to try: the number of examples of each kind, and the seed. Without a seed the examples are always the
    same."""

    examples: int
    seed: int | None = None

    def __call__(self, test: Test) -> Test:
        settings = hypothesis.settings(
            max_examples=self.examples,
            derandomize=self.seed is None,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        return settings(test if self.seed is None else seed(self.seed)(test))
