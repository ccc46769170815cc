"""Chooses the learning rate of each method by the same rule.

Each learned method has a grid of five rates. Each rate is tried with several seeds at one code
length, and the one with the highest mean MAP on the validation images is chosen, before any query
is used. While the best rate is at the edge of the grid, the grid is extended by one more rate. The
chosen rate is then used for all code lengths and seeds.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from experiments.comparison._methods import is_learned, rates_of
from experiments.comparison._runs import Result, Run
from experiments.comparison._study import Study

# These differ from the seeds for which results are usually reported.
SEEDS = (100, 101, 102)
# Maximum number of rates by which a grid is extended.
MAX_EXTENSIONS = 5


class Choice(NamedTuple):
    """The learning rates that were tried for a method, and their MAPs.

    Attributes:
      rates: the rates that were tried, in increasing order.
      maps: the mean MAP of each rate on the validation images.
    """

    rates: tuple[float, ...]
    maps: tuple[float, ...]

    @staticmethod
    def of(tried: Mapping[float, float]) -> "Choice":
        """Creates a choice from a dict of MAPs keyed by rate."""
        return Choice(*zip(*sorted(tried.items()), strict=True))

    @property
    def tried(self) -> dict[float, float]:
        """A dict of the mean MAPs, keyed by rate."""
        return dict(zip(self.rates, self.maps, strict=True))

    @property
    def rate(self) -> float:
        """The chosen rate: the rate with the highest MAP, or the lowest such rate."""
        return self.rates[self.maps.index(max(self.maps))]

    @property
    def is_at_edge(self) -> bool:
        """Whether the chosen rate is the lowest or the highest of the grid."""
        return self.rate in (self.rates[0], self.rates[-1])

    @property
    def may_improve(self) -> bool:
        """Whether the MAP is still increasing at the edge of the grid where the best rate is."""
        # Of rates with the same MAP, the lowest is chosen, so only the lower edge can be tied.
        return self.is_at_edge and max(self.maps) > self.maps[1]

    @property
    def next_rate(self) -> float:
        """The rate that extends the grid beyond the edge where the best rate is."""
        if self.rate == self.rates[0]:
            return self.rates[0] ** 2 / self.rates[1]
        return self.rates[-1] ** 2 / self.rates[-2]


def count_runs(study: Study, names: Sequence[str]) -> int:
    """Returns the number of runs needed to choose the rates if no grid is extended."""
    return sum(len(rates_of(name)) * len(SEEDS) for name in filter(is_learned, names))


def choose(
    study: Study,
    names: Sequence[str],
    bits: int,
    result: Callable[[Run], Result],
    *,
    extended: Callable[[int], object] = lambda runs: None,
) -> dict[str, Choice]:
    """Chooses the rate of each learned method.

    Args:
      study: the data and the settings that all methods share.
      names: names of the methods; methods that are not trained have no learning rate.
      bits: the code length at which rates are compared.
      result: function that returns the result of a run.
      extended: called with the number of additional runs whenever a grid is extended.

    Returns:
      A :class:`Choice` for each learned method.
    """

    def mean_map(name: str, rate: float) -> float:
        runs = [Run(name, bits, seed, rate, validation=True) for seed in SEEDS]
        return statistics.mean(result(run).hamming for run in runs)

    choices = {}
    for name in filter(is_learned, names):
        choice = Choice.of({rate: mean_map(name, rate) for rate in rates_of(name)})
        while choice.may_improve and len(choice.rates) < len(rates_of(name)) + MAX_EXTENSIONS:
            extended(len(SEEDS))
            rate = choice.next_rate
            choice = Choice.of({**choice.tried, rate: mean_map(name, rate)})
        choices[name] = choice
    return choices
