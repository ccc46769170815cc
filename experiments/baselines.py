"""Shallow baselines on a backbone's features, by faiss: LSH and ITQ.

Both see the features that the network starts from (its pretrained backbone, where there is one),
are fitted on the training images and are evaluated exactly as a run is.

References: Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002 (LSH);
Gong, Lazebnik, "Iterative Quantization", CVPR 2011 (ITQ).
"""

import numpy as np

from hashnet_jax.metrics import evaluate


def lsh(train, parts, *, bits, seed):
    """Signs of random projections of centred features."""
    faiss = import_faiss()
    index = faiss.IndexLSH(train.shape[1], bits, True)
    index.rrot.init(seed)
    mean = train.mean(axis=0)
    packed = [index.sa_encode(np.ascontiguousarray(part - mean)) for part in parts]
    # faiss starts a byte at its least significant bit.
    signs = [np.unpackbits(code, axis=1, count=bits, bitorder="little") for code in packed]
    return [np.packbits(sign, axis=1) for sign in signs]


def itq(train, parts, *, bits, seed):
    """Signs of the principal components after the rotation that quantises them best.

    Raises:
      ValueError: if there are fewer features or training images than bits.
    """
    faiss = import_faiss()
    if bits > min(train.shape):
        raise ValueError(
            f"ITQ needs at least as many features and training images as bits {bits}, got "
            f"{train.shape[1]} features of {train.shape[0]} images: ask for fewer bits."
        )
    transform = faiss.ITQTransform(train.shape[1], bits, True)
    transform.itq.seed = seed
    transform.train(np.ascontiguousarray(train))
    signs = [transform.apply(np.ascontiguousarray(part)) > 0 for part in parts]
    return [np.packbits(sign, axis=1) for sign in signs]


BASELINES = {"lsh": lsh, "itq": itq}


def evaluate_baselines(features, dataset, names, *, bits, cutoff, seed):
    """MAP of shallow codes of the same split.

    Args:
      features: :class:`hashnet_jax.features.Features` of all images of the split.
      dataset: a loaded data set.
      names: of ``BASELINES``.
      bits: K, a list.
      cutoff: R of MAP@R, or None.
      seed: of the projections and rotations.

    Raises:
      ModuleNotFoundError: if faiss is missing.

    Returns:
      ``{(name, bits): MeanAveragePrecision}``.
    """
    split = dataset.split
    parts = {name: features.of(getattr(split, name)) for name in ("train", "query", "database")}
    labels = dataset.labels[split.query], dataset.labels[split.database]
    results = {}
    for name in names:
        for k in bits:
            query, database = BASELINES[name](
                parts["train"], (parts["query"], parts["database"]), bits=k, seed=seed
            )
            result = evaluate(query, database, *labels, bits=k, cutoff=cutoff)
            results[name, k] = result.mean_average_precision
    return results


def import_faiss():
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the baselines are faiss's: pip install -e '.[peers]', or leave --baselines out."
        ) from error
    return faiss
