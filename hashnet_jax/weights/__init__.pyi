from ._convert import convert_backbone, load_backbone
from ._export import export_onnx, export_stablehlo
from ._fetch import fetch
from ._find import find_weights
from ._hub import upload_network
from ._load import load
from ._model_arrays import ModelArrays, read_arrays
from ._model_file import read_spec, save
from ._model_path import MODEL_FILE
from ._network_folder import NETWORK_CONFIG, NETWORK_FILE, write_network
from ._tensor_files import read_tensors

__all__ = [
    "MODEL_FILE",
    "NETWORK_CONFIG",
    "NETWORK_FILE",
    "ModelArrays",
    "convert_backbone",
    "export_onnx",
    "export_stablehlo",
    "fetch",
    "find_weights",
    "load",
    "load_backbone",
    "read_arrays",
    "read_spec",
    "read_tensors",
    "save",
    "upload_network",
    "write_network",
]
