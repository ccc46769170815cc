"""A network's arrays together with its spec."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
from jax import export

from hashnet_jax.model._spec import ModelSpec


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class HashNetParams:
    """A network's arrays and its spec; a pytree with the spec as static data.

    Two instances are equal only if they are the same object; compare arrays with ``jax.tree.map``.

    Attributes:
      variables: ``{"params": {"backbone": ..., "hash": ...}, "batch_stats": ...}``, float32;
        ``batch_stats`` is empty for a backbone without batch normalisation. A hash layer alone
        (:func:`hashnet_jax.model.hash_layer`) has no "backbone" and takes features ``[B, D]``.
      spec: the static :class:`ModelSpec`.

    Examples:
      >>> import hashnet_jax
      >>> spec = ModelSpec("small_cnn", bits=48, image_size=8, resize=8)
      >>> hashnet_jax.init(jax.random.key(0), spec)
      HashNetParams(small_cnn, 48 bits, 101,536 parameters, float32)
    """

    variables: dict[str, Any]
    spec: ModelSpec = dataclasses.field(metadata={"static": True})

    def __repr__(self) -> str:
        trained = self.variables.get("params", {})
        count = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(trained))
        network = self.spec.backbone
        if "hash" in trained and "backbone" not in trained:
            network = f"hash layer for {network}"
        return (
            f"HashNetParams({network}, {self.spec.bits} bits, {count:,} parameters, "
            f"{self.spec.dtype})"
        )


def spec_to_json(spec: ModelSpec) -> str:
    """Serializes a spec to the JSON that is saved with the network's weights."""
    return json.dumps(dataclasses.asdict(spec))


def spec_from_json(text: str) -> ModelSpec:
    """Restores a spec from JSON written by :func:`spec_to_json`.

    Raises:
      ValueError: if the text is not the JSON of a spec.

    Examples:
      >>> spec_from_json(spec_to_json(ModelSpec("vgg16"))) == ModelSpec("vgg16")
      True
    """
    fields = json.loads(text)
    expected = {field.name for field in dataclasses.fields(ModelSpec)}
    if not isinstance(fields, dict) or set(fields) != expected:
        found = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
        raise ValueError(f"a spec must have the fields {sorted(expected)}, got {found}.")
    # JSON has no tuples.
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return ModelSpec(**fields)


export.register_pytree_node_serialization(
    HashNetParams,
    serialized_name="hashnet_jax.HashNetParams",
    serialize_auxdata=lambda aux: spec_to_json(aux[0]).encode(),
    deserialize_auxdata=lambda data: (spec_from_json(bytes(data).decode()),),
)
