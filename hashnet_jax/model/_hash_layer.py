"""The hash layer on its own, for training with a frozen backbone.

    state = hash_layer_state(state)               # from a network with a pretrained backbone
    state, metrics = train_step(state, {"image": features, "label": labels})
    params = with_hash_layer(params, state.params)

The step, loss, continuation and optimizer are the same as for the whole network, but the input is
features ``[B, D]`` instead of images.
"""

import dataclasses

from hashnet_jax.model._params import HashNetParams


def hash_layer(params: HashNetParams) -> HashNetParams:
    """Extracts a network's hash layer, without the backbone.

    Args:
      params: the network, :class:`hashnet_jax.HashNetParams`.

    Returns:
      :class:`hashnet_jax.HashNetParams` with the same spec, for which
      ``hashnet_jax.logits`` and ``hashnet_jax.encode`` take features ``[B, D]`` instead of images.

    Examples:
      >>> import hashnet_jax, jax, jax.numpy as jnp
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> layer = hash_layer(hashnet_jax.init(jax.random.key(0), spec))
      >>> layer
      HashNetParams(hash layer for small_cnn, 12 bits, 3,084 parameters, float32)
      >>> hashnet_jax.logits(layer, jnp.ones((5, 256))).shape
      (5, 12)
      >>> hashnet_jax.logits(layer, jnp.ones((5, 8, 8, 3)))
      Traceback (most recent call last):
      ...
      ValueError: the input to a hash layer must be features [B, 256], got (5, 8, 8, 3). ...
    """
    trained = {"hash": params.variables["params"]["hash"]}
    return HashNetParams({"batch_stats": {}, "params": trained}, params.spec)


def with_hash_layer(params: HashNetParams, layer: HashNetParams) -> HashNetParams:
    """Replaces a network's hash layer.

    Args:
      params: the whole network, :class:`hashnet_jax.HashNetParams`.
      layer: a hash layer from :func:`hash_layer`, usually after training.

    Returns:
      :class:`hashnet_jax.HashNetParams` that shares its backbone arrays with ``params``.

    Raises:
      ValueError: if ``params`` and ``layer`` have different specs.

    Examples:
      >>> import hashnet_jax, jax
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> params = hashnet_jax.init(jax.random.key(0), spec)
      >>> whole = with_hash_layer(params, hash_layer(hashnet_jax.init(jax.random.key(1), spec)))
      >>> sorted(whole.variables["params"])
      ['backbone', 'hash']
    """
    if layer.spec != params.spec:
        raise ValueError(
            f"`layer` must have the network's spec {params.spec}, got {layer.spec}. Extract "
            "the layer from this network with hashnet_jax.model.hash_layer."
        )
    trained = params.variables["params"] | {"hash": layer.variables["params"]["hash"]}
    return dataclasses.replace(params, variables=params.variables | {"params": trained})
