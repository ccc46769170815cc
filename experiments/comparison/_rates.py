"""Chooses the learning rate of each method: one rule for all.

Each learned method has a grid of five rates. Each rate is tried with several seeds at one code
length, and the one with the highest mean MAP on the validation images is chosen, before any query
is used. It then holds for all code lengths and seeds.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.comparison._methods import is_learned, rates_of
from experiments.comparison._runs import Result, Run
from experiments.comparison._study import Study

# Other seeds than those that the results are usually reported for.
SEEDS = (100, 101, 102)


class Choice(NamedTuple):
    """How a method's learning rate was chosen.

    Attributes:
      rates: the rates that were tried.
      maps: the mean MAP of each on the validation images.
    """

    rates: tuple[float, ...]
    maps: tuple[float, ...]

    @property
    def rate(self) -> float:
        """The chosen rate: that of the highest MAP, and the lowest such rate."""
        return self.rates[self.maps.index(max(self.maps))]

    @property
    def is_at_edge(self) -> bool:
        """Whether the chosen rate is the lowest or the highest of the grid."""
        return self.rate in (min(self.rates), max(self.rates))


def count_runs(study: Study, names: Sequence[str]) -> int:
    """Returns the number of runs that are needed to choose the rates of all methods."""
    return sum(len(rates_of(name)) * len(SEEDS) for name in filter(is_learned, names))


def choose(
    study: Study, names: Sequence[str], bits: int, result: Callable[[Run], Result]
) -> dict[str, Choice]:
    """Chooses the rate of each learned method.

    Args:
      study: the study.
      names: names of the methods; those that are not trained have no rate.
      bits: the code length at which rates are compared.
      result: function that returns the result of a run.

    Returns:
      A :class:`Choice` for each learned method.
    """
    choices = {}
    for name in filter(is_learned, names):
        rates = rates_of(name)
        maps = [
            statistics.mean(
                result(Run(name, bits, seed, rate, validation=True)).hamming for seed in SEEDS
            )
            for rate in rates
        ]
        choices[name] = Choice(rates, tuple(maps))
    return choices
