from ._convert import convert_backbone, load_backbone
from ._export import export_onnx, export_stablehlo
from ._find import find_weights
from ._model_arrays import ModelArrays, read_arrays
from ._model_file import load, read_spec, save
from ._model_path import MODEL_FILE
from ._tensor_files import read_tensors

__all__ = [
    "MODEL_FILE",
    "ModelArrays",
    "convert_backbone",
    "export_onnx",
    "export_stablehlo",
    "find_weights",
    "load",
    "load_backbone",
    "read_arrays",
    "read_spec",
    "read_tensors",
    "save",
]
