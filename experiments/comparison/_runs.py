"""One run of one method, and the file that stores its result.

A result is bound to the features and to all settings: both are part of the file's name and content.
Interrupted studies therefore continue where they stopped, and results for different data or
settings are never used by mistake.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.baselines import BASELINES
from experiments.baselines._evaluate import packed
from experiments.comparison._methods import COSINE, is_learned, method
from experiments.comparison._study import Parts, Study
from experiments.comparison._train import train
from hashnet_jax.distributed.files import make_folder, write_whole
from hashnet_jax.distributed.json_values import number, optional, record
from hashnet_jax.distributed.reading import damage_named, file_exists, read_json
from hashnet_jax.distributed.seals import content_sha256, sealed, unsealed
from hashnet_jax.metrics import evaluate, mean_average_precision_scores
from hashnet_jax.training import rate_unit

_WHAT, _REMEDY = "the result of a run", "delete it to compute the result again"
_SCORES = ("hamming", "asymmetric")
_check_file = record({name: optional(number) for name in (*_SCORES, "cosine")})


@dataclasses.dataclass(frozen=True)
class Run:
    """The settings that determine a result, apart from the settings of the study.

    Attributes:
      name: name of the method.
      bits: K; 0 for the cosine of the features.
      seed: seed for the initial layer, the method's random choices and the data order.
      rate: learning rate in units of :func:`hashnet_jax.training.rate_unit`; None if the method
        is not trained.
      validation: whether to use the validation images instead of the queries.
    """

    name: str
    bits: int
    seed: int
    rate: float | None = None
    validation: bool = False


class Result(NamedTuple):
    """MAP of a run, expected over ties; NaN where it is not defined.

    Attributes:
      hamming: ranking by Hamming distance. 0 if training diverged.
      asymmetric: ranking by the inner product of query logits and codes. NaN for validation.
      cosine: ranking by the cosine of the features themselves.
    """

    hamming: float = float("nan")
    asymmetric: float = float("nan")
    cosine: float = float("nan")


def settings_of(study: Study, run: Run) -> dict[str, Any]:
    """Returns everything that determines a result, as JSON."""
    settings: dict[str, Any] = {"content": study.content, "cutoff": study.cutoff}
    if is_learned(run.name):
        chosen = method(run.name, study.spec, run.bits)
        settings["train"] = dataclasses.asdict(chosen.spec)
        settings |= {"batch_size": study.batch_size, "standardize": chosen.standardize}
    return dataclasses.asdict(run) | settings


def result_path(study: Study, run: Run, folder: Path) -> Path:
    """Returns the path to the file that stores a result."""
    identity = content_sha256(settings_of(study, run))[:12]
    part = "validation" if run.validation else "queries"
    rate = "" if run.rate is None else f"-rate{run.rate:g}"
    return folder / f"{run.name}-{run.bits}bits-seed{run.seed}{rate}-{part}-{identity}.json"


def load_or_run(study: Study, run: Run, folder: Path) -> Result:
    """Returns the result of a run, from its file if there is one.

    Raises:
      DamagedFile: if the file is damaged.
      ValueError: if the method does not support the data or the number of bits.
    """
    path, settings = result_path(study, run, folder), settings_of(study, run)
    if file_exists(path, _WHAT, _REMEDY):
        return _read(path, settings)
    result = execute(study, run)
    scores = {k: None if np.isnan(v) else v for k, v in result._asdict().items()}
    content = json.dumps(sealed({"settings": settings, **scores}), indent=2)
    make_folder(folder)
    write_whole(path, lambda file: file.write(content.encode()))
    return result


def _read(path: Path, settings: dict[str, Any]) -> Result:
    content = read_json(path, _WHAT, _REMEDY)
    with damage_named(path, _WHAT, _REMEDY):
        content = unsealed(content)
        _check_file(content)
        if content_sha256(content.get("settings")) != content_sha256(settings):
            raise ValueError("its settings differ from the settings in its name")
    values = {name: content[name] for name in Result._fields}
    return Result(**{k: float("nan") if v is None else float(v) for k, v in values.items()})


def execute(study: Study, run: Run) -> Result:
    """Trains and evaluates a method."""
    parts = study.validation_parts(run.seed) if run.validation else study.final_parts()
    query, database = study.features.take(parts.query), study.features.take(parts.database)
    if run.name == COSINE:
        return Result(cosine=_scores_map(study, parts, _unit(query), _unit(database)))
    query, database = _logits(study, run, parts, (query, database))
    if not (np.isfinite(query).all() and np.isfinite(database).all()):
        return Result(hamming=0.0, asymmetric=float("nan") if run.validation else 0.0)
    labels = study.dataset.labels[parts.query], study.dataset.labels[parts.database]
    hamming = evaluate(
        packed(query), packed(database), *labels, bits=run.bits, cutoff=study.cutoff
    ).mean_average_precision
    if run.validation:
        return Result(hamming=float(hamming.expected))
    codes = np.where(database >= 0, 1.0, -1.0).astype(np.float32)
    return Result(float(hamming.expected), _scores_map(study, parts, query, codes))


def _logits(
    study: Study, run: Run, parts: Parts, features: Sequence[Float[np.ndarray, "M D"]]
) -> list[Float[np.ndarray, "M K"]]:
    train_features = study.features.take(parts.train)
    if run.rate is None:
        return BASELINES[run.name](train_features, features, bits=run.bits, seed=run.seed)
    chosen = method(run.name, study.spec, run.bits)
    layer = train(
        chosen.rival,
        train_features,
        study.multi_hot(parts.train),
        bits=run.bits,
        spec=chosen.spec,
        rate=run.rate * rate_unit(train_features, standardize=chosen.standardize),
        batch_size=study.batch_size,
        seed=run.seed,
        standardize=chosen.standardize,
    )
    return [layer.logits(part) for part in features]


def _scores_map(
    study: Study,
    parts: Parts,
    query: Float[np.ndarray, "Q K"],
    database: Float[np.ndarray, "M K"],
) -> float:
    labels = study.dataset.labels[parts.query], study.dataset.labels[parts.database]
    mean = mean_average_precision_scores(query, database, *labels, cutoff=study.cutoff)
    return float(mean.expected)


def _unit(rows: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)
