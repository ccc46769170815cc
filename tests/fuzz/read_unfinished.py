"""The readers of interrupted runs, their checkpoints and features."""

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

import hashnet_jax
from hashnet_jax.cli import _start, main
from hashnet_jax.data import DATASETS, Options
from hashnet_jax.training import Checkpoints, _feature_cache, _loop, load_or_compute_features
from tests.fuzz.reader import Reader, config_of, digest, tree, without
from tests.fuzz.worlds import feature_data

FILES = ("config.json", "split.npz", "overlaps.json", "metrics.jsonl")

# The digits by options, read once, in the process that is forked.
DIGITS: dict[Options, Any] = {}


class Stopped(BaseException):
    """Ends a resumed run before its first step."""

    def __init__(self, state: Any, batch: Any) -> None:
        super().__init__()
        self.state, self.batch = state, batch


@contextlib.contextmanager
def stopped_at_first_step() -> Iterator[None]:
    """Lets training raise :class:`Stopped` before its first step, or after its last one.

    Nothing is compiled.
    """

    def map_step(*_: Any, **__: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            raise Stopped(state, batch)

        return step

    with (
        mock.patch.object(_loop, "map_step", map_step),
        mock.patch.object(hashnet_jax, "save", side_effect=Stopped(None, None)),
        mock.patch.object(_start, "init_state", healthy_state()),
        _cached_digits(),
    ):
        yield


def _resume(*options: str) -> Callable[[Path, Path], Any]:
    def read(case: Path, world: Path) -> Any:
        """Resumes a run up to its first step."""
        places = [option.format(case=case) for option in options]
        out, err = io.StringIO(), io.StringIO()
        with stopped_at_first_step():
            try:
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    main(["train", "--run-dir", str(case / "run"), "--resume", "--no-report",
                          "--devices", "1", *places])  # fmt: skip
            except Stopped as stopped:
                state, batch = stopped.state, stopped.batch
                print(out.getvalue(), err.getvalue())
                return _position(case / "run", state, batch, out.getvalue())
        print(out.getvalue(), err.getvalue())
        raise ValueError(err.getvalue())

    return read


def _position(run: Path, state: Any, batch: Any, printed: str) -> Any:
    """What determines how a run goes on."""
    counts = [line for line in printed.splitlines() if line.startswith("queries in")]
    key = jax.random.key_data(state.key)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((state.params, state.opt_state))]
    files = {name: hash_ for name, hash_ in tree(run).items() if "checkpoints" not in name}
    return [
        int(state.step), digest([state.params.spec, state.spec, leaves, key, float(state.beta)]),
        digest(batch), files, counts,
    ]  # fmt: skip


def healthy_state() -> Callable[..., Any]:
    """A function instead of init_state, which would have to be compiled for each case.

    The state has the arrays' shapes, and other values unless a checkpoint is restored.
    """
    real = _start.init_state

    def init_state(key: Any, model: Any, train: Any) -> Any:
        shapes = shapes_of(real, model, train)

        def filled(leaf: Any) -> Any:
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return key
            return jax.numpy.asarray(np.full(leaf.shape, 0.25, leaf.dtype))

        return jax.tree.map(filled, shapes)

    return init_state


@functools.cache
def shapes_of(init_state: Callable[..., Any], model: Any, train: Any) -> Any:
    """The shapes of the arrays of a train state."""
    return jax.eval_shape(lambda: init_state(jax.random.key(0), model, train))


@contextlib.contextmanager
def _cached_digits() -> Iterator[None]:
    real = DATASETS["digits"]

    def load(options: Options) -> Any:
        return DIGITS[options] if options in DIGITS else real(options)

    with mock.patch.dict(DATASETS, digits=load):
        yield


def _checkpoints(config_folder: str) -> Callable[[Path, Path], Any]:
    def read(case: Path, world: Path) -> Any:
        """Restores the latest checkpoint, as a program that uses the package would."""
        config = config_of(world / config_folder)
        state = healthy_state()(jax.random.key(0), config.model, config.train)
        path = case / "run" / "checkpoints"
        with contextlib.closing(Checkpoints(path, read_only=True)) as checkpoints:
            step = checkpoints.latest_step()
            if step is None:
                return None
            state, position = checkpoints.restore(state, step)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((state.params, state.opt_state))]
        return [int(state.step), position, digest(leaves)]

    return read


def _features(case: Path, world: Path) -> Any:
    """Loads cached features, or else computes them, for which the healthy ones stand in."""
    (healthy,) = (world / "features").glob("*.npy")
    params = hashnet_jax.load(world / "run")

    def compute(*_: Any, **__: Any) -> Any:
        print("computed again")
        return np.load(healthy)

    with mock.patch.object(_feature_cache, "compute_features", compute):
        found = load_or_compute_features(case / "features", params, feature_data(world), devices=[])
    return digest([found.take(found.indices), found.indices])


def unfinished_runs() -> Iterator[Reader]:
    """The readers of the folder of an interrupted run."""
    files = (*(f"run/{name}" for name in FILES), "run/checkpoints/**/*")
    last, both = without("run/checkpoints/20"), without("run/checkpoints/20", "run/checkpoints/10")
    yield Reader("train --resume", {"run": "half"}, files, _resume(), {"run": "half_x"},
                 also=(last, both), weight=2)  # fmt: skip
    yield Reader("resume, pictures", {"run": "folder_half", "pictures": "pictures"},
                 ("run/pictures.json", "run/config.json", "pictures/*/0*.png"),
                 _resume("--image-root", "{case}/pictures"),
                 {"run": "folder_x", "pictures": "strangers"}, also=(last,))  # fmt: skip
    # A checkpoint says to which run it belongs, if a program says so when it saves it.
    yield Reader("Checkpoints", {"run": "saved"}, files[-1:], _checkpoints("half"),
                 {"run": "saved_x"}, others_right=("stranger",), is_program=False,
                 also=(last, both), weight=0.5)  # fmt: skip
    yield Reader("features", {"features": "features"}, ("features/*",), _features,
                 {"features": "features_x"})  # fmt: skip
    old, other = {"run": "old_interrupted"}, {"run": "old_interrupted_x"}
    only = (without("run/checkpoints/13"),)
    yield Reader("train --resume (0.1)", old, files, _resume(), other, is_old=True, also=only)
    yield Reader("Checkpoints (0.1)", old, files[-1:], _checkpoints("old_interrupted"), other,
                 is_old=True, others_right=("stranger",), is_program=False, also=only,
                 weight=0.5)  # fmt: skip
