"""The tiny local model as a child process: SmolLM2-135M-Instruct behind an OpenAI-compatible server on loopback.

`python -m local.model --port P` prints one JSON line `{"url", "model"}` when it answers and ends when its stdin closes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

import xllamacpp

from local.weights import ALIAS, CONTEXT_TOKENS, weights_file

SLOTS = 2


def parameters(port: int) -> xllamacpp.CommonParams:
    """What the server is told: two answers at a time, no page, no growth of memory over time."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights_file())
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS * SLOTS  # shared out over the slots
    threads = max(1, (os.cpu_count() or 2) - 1)  # one core stays free for the functions
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0  # by default the prompt cache may grow to 8 GiB
    params.warmup = False  # a start is awaited by a person; a first answer that is a little slower is not noticed
    params.ui = False
    params.endpoint_slots = False
    params.cors_origins = ""
    # A model this small rambles and repeats itself at the usual settings.
    params.sampling.temp, params.sampling.top_p, params.sampling.penalty_repeat = 0.2, 0.9, 1.1
    params.verbosity = 0
    return params


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one (default)")
    port: int = parser.parse_args().port
    server = xllamacpp.Server(parameters(port))
    print(json.dumps({"url": f"{server.listening_address}/v1", "model": ALIAS}), flush=True)
    sys.stdin.read()  # the parent's end of the pipe: it closes when the parent is gone, however it went
    os._exit(0)  # the server's own threads would keep an ordinary exit waiting


if __name__ == "__main__":
    main()
