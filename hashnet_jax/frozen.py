"""The hash layer alone, for training with a frozen backbone.

    state = hash_layer_state(state)               # of the whole network, its backbone pretrained
    state, metrics = train_step(state, {"image": features, "label": labels})
    params = with_hash_layer(params, state.params)

The step, its loss, continuation and optimiser are those of the whole network; where a hash layer
stands alone, features ``[B, D]`` stand in the place of images.
"""

import dataclasses

from hashnet_jax.model import HashNetParams
from hashnet_jax.optim import optimizer


def hash_layer(params):
    """The hash layer of a network, without its backbone.

    Args:
      params: :class:`hashnet_jax.HashNetParams`.

    Returns:
      :class:`hashnet_jax.HashNetParams` of the same spec, for features ``[B, D]``:
      ``hashnet_jax.logits`` and ``hashnet_jax.encode`` take them where they take images.

    Examples:
      >>> import hashnet_jax, jax, jax.numpy as jnp
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> params = hashnet_jax.init(jax.random.key(0), spec)
      >>> hashnet_jax.logits(hash_layer(params), jnp.ones((5, 256))).shape
      (5, 12)
      >>> hashnet_jax.logits(hash_layer(params), jnp.ones((5, 8, 8, 3)))
      Traceback (most recent call last):
      ...
      ValueError: a hash layer alone takes features [B, 256], got (5, 8, 8, 3): ...
    """
    trained = {"hash": params.variables["params"]["hash"]}
    return HashNetParams({"batch_stats": {}, "params": trained}, params.spec)


def with_hash_layer(params, layer):
    """A network with another hash layer.

    Args:
      params: :class:`hashnet_jax.HashNetParams` of a whole network.
      layer: what :func:`hash_layer` gave, or training made of it.

    Returns:
      :class:`hashnet_jax.HashNetParams`, its backbone that of ``params``, array by array.

    Raises:
      ValueError: if the two are of different specs.

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
            f"the hash layer must be of the network's spec {params.spec}, got one of {layer.spec}."
        )
    trained = params.variables["params"] | {"hash": layer.variables["params"]["hash"]}
    return dataclasses.replace(params, variables=params.variables | {"params": trained})


def hash_layer_state(state):
    """The state before the first step of training the hash layer alone.

    Args:
      state: a fresh :class:`hashnet_jax.state.TrainState` of the whole network.

    Returns:
      :class:`hashnet_jax.state.TrainState`, its params those of :func:`hash_layer`.
    """
    layer = hash_layer(state.params)
    opt_state = optimizer(state.spec).init(layer.variables["params"])
    return dataclasses.replace(state, params=layer, opt_state=opt_state)
