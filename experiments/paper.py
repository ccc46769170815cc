"""Results from Table 1 of the paper: MAP@1000 on ImageNet-100, MAP@5000 on NUS-WIDE and COCO.

The figures are quoted from memory, except those in ``READ``, which were confirmed by a second
source. For HashNet on ImageNet-100 at 16 and 32 bits, the sources differ: the paper, as we remember
it, has .5059 and .6306, but a table in another 2017 paper has the figures of the preprint, .442 and
.606.

Reference: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017.
"""

BITS = (16, 32, 48, 64)

# MAP keyed by data set and method, with one value for each number of bits in ``BITS``.
FIGURES: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "imagenet100": {
        "hashnet": (0.5059, 0.6306, 0.6633, 0.6835),
        "hashnet+c": (0.5059, 0.6306, 0.6633, 0.6835),
        "hashnet-w": (0.3350, 0.4852, 0.5668, 0.5992),
        "hashnet-sgn": (0.4249, 0.5450, 0.5828, 0.6061),
        "dhn": (0.3106, 0.4717, 0.5419, 0.5732),
        "itq": (0.3255, 0.4620, 0.5170, 0.5520),
        "lsh": (0.1007, 0.2350, 0.3121, 0.3596),
    },
    "nuswide": {
        "hashnet": (0.6623, 0.6988, 0.7114, 0.7163),
        "hashnet+c": (0.6646, 0.7024, 0.7209, 0.7259),
        "hashnet-w": (0.6400, 0.6638, 0.6788, 0.6933),
        "hashnet-sgn": (0.6603, 0.6770, 0.6921, 0.7020),
        "dhn": (0.6374, 0.6637, 0.6692, 0.6714),
        "itq": (0.5086, 0.5425, 0.5580, 0.5611),
        "lsh": (0.3283, 0.4227, 0.4333, 0.5009),
    },
    "coco": {
        "hashnet": (0.6873, 0.7184, 0.7301, 0.7362),
        "hashnet+c": (0.6876, 0.7261, 0.7371, 0.7419),
        "hashnet-w": (0.6853, 0.7174, 0.7297, 0.7348),
        "hashnet-sgn": (0.6449, 0.6891, 0.7056, 0.7138),
        "dhn": (0.6774, 0.7013, 0.6948, 0.6944),
        "itq": (0.5818, 0.6243, 0.6460, 0.6574),
        "lsh": (0.4592, 0.4856, 0.5440, 0.5849),
    },
}

# (data set, method, bits) of the figures that were confirmed by a second source.
READ = {
    ("imagenet100", "hashnet", 48),
    ("imagenet100", "hashnet", 64),
    ("nuswide", "hashnet", 48),
    ("coco", "hashnet", 48),
    *(("imagenet100", method, bits) for method in ("dhn", "itq", "lsh") for bits in BITS),
}

# Notes to print below the table of a data set.
NOTES = {
    "imagenet100": "For HashNet at 16 and 32 bits, .5059 and .6306 are quoted from memory; a table "
    "in another 2017 paper has .442 and .606, the figures of the preprint.",
}


def figure(dataset: str, method: str, bits: int) -> str:
    """Formats a figure from the paper as a table cell; ``""`` if the paper has none.

    Examples:
      >>> figure("imagenet100", "hashnet", 48), figure("imagenet100", "hashnet", 16)
      ('0.6633 (read)', '0.5059')
      >>> figure("digits", "hashnet", 48)
      ''
    """
    figures = FIGURES.get(dataset, {}).get(method)
    if figures is None or bits not in BITS:
        return ""
    mark = " (read)" if (dataset, method, bits) in READ else ""
    return f"{figures[BITS.index(bits)]:.4f}{mark}"
