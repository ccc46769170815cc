"""All readers of the package, and what they need before a process is forked for each case."""

from pathlib import Path
from typing import Any

import jax

from hashnet_jax.cli import _start
from hashnet_jax.data import DATASETS
from hashnet_jax.weights import _model_file
from tests.fuzz.read_codes import codes
from tests.fuzz.read_evaluation import evaluations
from tests.fuzz.read_finished import finished_runs
from tests.fuzz.read_inputs import inputs
from tests.fuzz.read_store import stores
from tests.fuzz.read_unfinished import DIGITS, shapes_of, unfinished_runs
from tests.fuzz.reader import Reader, config_of
from tests.fuzz.worlds import SMALL_DATA


def readers() -> list[Reader]:
    """All readers."""
    return [
        *finished_runs("", "run", is_old=False),
        *unfinished_runs(),
        *codes("", "codes", is_old=False),
        *stores(),
        *inputs(),
        *evaluations(),
        *finished_runs(" (0.1)", "old_finished", is_old=True),
        *codes(" (0.1)", "old_codes", is_old=True),
    ]


def warm(world: Path) -> None:
    """Prepares, in the process that is forked, what all cases need; starts no backend of JAX."""
    import grain  # noqa: F401
    import lancedb  # noqa: F401
    import tensorflow_datasets  # noqa: F401
    import torch  # noqa: F401
    from safetensors import numpy  # noqa: F401

    from hashnet_jax.cli import _index, _info, _report, _search_stores  # noqa: F401
    from hashnet_jax.data import tfds_source

    tfds_source.MAX_DECODED_BYTES = SMALL_DATA  # mnist is read into memory, coco from disk
    for name in _present(world, "half", "folder_half", "old_interrupted"):
        config = config_of(world / name)
        if config.dataset == "digits":
            DIGITS[config.data] = DATASETS["digits"](config.data)
        shapes_of(_start.init_state, config.model, config.train)
    _remember_shapes([world / name for name in _present(world, "run", "old_finished")])


def _present(world: Path, *names: str) -> list[str]:
    return [name for name in names if (world / name).is_dir()]


def _remember_shapes(runs: list[Path]) -> None:
    """Lets `load` find the shapes of the healthy networks' arrays without tracing them again."""
    real = _model_file.init
    specs = [config_of(run).model for run in runs]
    known = {}
    for spec in specs:
        known[spec] = jax.eval_shape(lambda spec=spec: real(jax.random.key(0), spec))

    def init(key: Any, spec: Any) -> Any:
        if spec not in known:
            return real(key, spec)
        return jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), known[spec])

    _model_file.init = init
