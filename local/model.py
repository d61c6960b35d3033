"""Serves the small local model, SmolLM2-135M-Instruct, with an OpenAI-compatible API on loopback.

`python -m local.model --port P` prints one JSON line `{"url", "model"}` when it is ready and ends when stdin closes.
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
    """The settings of the server: two requests at a time, no web page, no growing cache."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights_file())
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS * SLOTS  # the server divides it by the slots
    threads = max(1, (os.cpu_count() or 2) - 1)  # leaves one core for the functions
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0  # by default the prompt cache may grow to 8 GiB
    params.warmup = False  # a user waits for the start; a slightly slower first answer matters less
    params.ui = False
    params.endpoint_slots = False
    params.cors_origins = ""
    # With the usual settings a model of this size repeats itself.
    params.sampling.temp, params.sampling.top_p, params.sampling.penalty_repeat = 0.2, 0.9, 1.1
    params.verbosity = 0
    return params


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free port (default)")
    port: int = parser.parse_args().port
    server = xllamacpp.Server(parameters(port))
    print(json.dumps({"url": f"{server.listening_address}/v1", "model": ALIAS}), flush=True)
    sys.stdin.read()  # the pipe closes when the parent ends in any way
    os._exit(0)  # a normal exit would wait for the server's threads


if __name__ == "__main__":
    main()
