"""Write a GGUF file anew with F16 weights (F32 for vectors); the only place that knows the gguf library.

One tensor is in memory at a time. Source: the GGUF specification (ggml, docs/gguf.md, version 3).
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rayfleet.model.errors import EnvironmentProblem

_FILE_TYPE_F16 = 1  # general.file_type, "MOSTLY_F16"
_WRITTEN_ANEW = frozenset({"general.architecture", "general.file_type", "general.quantization_version"})


def reencode_to_f16(source: Path, target: Path, progress: Callable[[str], None]) -> None:
    """Write ``source`` to ``target`` with every tensor of two or more dimensions as F16, others as F32.

    Raises EnvironmentProblem when ``source`` cannot be read or the disk is too small; OSError from writing passes
    through.
    """
    gguf = _gguf_library()
    began = time.monotonic()
    progress(f"re-encoding {source.name} to F16 (once)")
    try:
        reader = gguf.GGUFReader(source)
    except (ValueError, KeyError, IndexError) as error:
        raise EnvironmentProblem(
            f"{source.name} is not a GGUF file that can be read: {error}", way_out="Name another model."
        ) from error
    _check_room(reader, target)
    writer = gguf.GGUFWriter(target, _text(reader, "general.architecture"))
    try:
        _copy_fields(gguf, reader, writer)
        _copy_tensors(gguf, reader, writer)
    finally:
        writer.close()
    progress(f"re-encoded {source.name} in {time.monotonic() - began:.1f} s")


def _gguf_library() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise EnvironmentProblem(
            "the Python package gguf is needed to re-encode a model, and is not installed",
            way_out="Install it: pip install gguf (it is part of rayfleet[local]).",
        ) from error
    return gguf


def _check_room(reader: Any, target: Path) -> None:
    needed = sum(int(tensor.n_elements) * (4 if len(tensor.shape) < 2 else 2) for tensor in reader.tensors)
    free = shutil.disk_usage(target.parent).free
    if free < needed * 1.05:
        raise EnvironmentProblem(
            f"{target.name} needs {needed / 1e6:.0f} MB in {target.parent}, and {free / 1e6:.0f} MB are free",
            way_out="Free some space there, or let RAYFLEET_CACHE name a folder that has room.",
        )


def _text(reader: Any, name: str) -> str:
    field = reader.get_field(name)
    if field is None:
        raise EnvironmentProblem(f"the GGUF file lacks the field {name}", way_out="Name another model.")
    return str(field.contents())


def _copy_fields(gguf: Any, reader: Any, writer: Any) -> None:
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in _WRITTEN_ANEW:
            continue
        is_array = field.types[0] == gguf.GGUFValueType.ARRAY
        sub_type = field.types[-1] if is_array else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=sub_type)
    writer.add_file_type(_FILE_TYPE_F16)


def _copy_tensors(gguf: Any, reader: Any, writer: Any) -> None:
    import numpy as np

    kinds = [np.dtype(np.float32 if len(tensor.shape) < 2 else np.float16) for tensor in reader.tensors]
    for tensor, kind in zip(reader.tensors, kinds, strict=True):
        shape = [int(size) for size in reversed(tensor.shape)]  # GGUF counts the fastest dimension first, numpy last
        writer.add_tensor_info(tensor.name, shape, kind, int(tensor.n_elements) * kind.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, kind in zip(reader.tensors, kinds, strict=True):
        try:
            values = gguf.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise EnvironmentProblem(
                f"tensor {tensor.name} is of the kind {tensor.tensor_type.name}, which the gguf package cannot read",
                way_out="Name a model in another quantisation, or give the path of one that needs no re-encoding.",
            ) from error
        writer.write_tensor_data(values.astype(kind))
