"""Other gateways to measure beside Parley, installed into `build/peers`, which git ignores.

python -m bench.peers portkey litellm
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.environment import ROOT

FOLDER = ROOT / "build" / "peers"
_PORTKEY = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.14.0", "hono": "4.9.7"},  # pinned, too: its speed is theirs
}
_LITELLM = "litellm[proxy]==1.109.1"
_LITELLM_OVERRIDE = "litellm-proxy-extras==0.4.110"  # not every index has 0.4.113, which it asks for
_LITELLM_CONFIG = """
model_list:
  - model_name: "bench-*"
    litellm_params: {model: "openai/bench-*", api_base: "%s", api_key: sk-bench}
general_settings: {master_key: sk-bench}
litellm_settings: {num_retries: 0, telemetry: false}
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway. `command` takes its port, the upstream's base URL and a folder for its configuration."""

    name: str
    folder: Path
    program: Path
    command: Callable[[int, str, Path], Sequence[str]]
    headers: Callable[[str], Mapping[str, str]]
    install: Callable[[Path], None]
    environ: Mapping[str, str]
    token: str = "bench"  # noqa: S105 - any token will do
    loads: frozenset[str] = frozenset({"unary", "streams", "hold"})


def installed() -> list[Peer]:
    """The peers whose programs are there."""
    return [peer for peer in PEERS.values() if peer.program.exists()]


def _install_portkey(folder: Path) -> None:
    (folder / "package.json").write_text(json.dumps(_PORTKEY, indent=2))
    words = ["install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", *words], cwd=folder, check=True, timeout=300)


def _install_litellm(folder: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    (folder / "override.txt").write_text(f"{_LITELLM_OVERRIDE}\n")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, ".venv"], cwd=folder, check=True, timeout=60)
    words = ["pip", "install", "--quiet", "--compile-bytecode", "--python", ".venv", "--override", "override.txt"]
    subprocess.run([uv, *words, _LITELLM], cwd=folder, check=True, timeout=600)


def _litellm_command(port: int, upstream: str, folder: Path) -> list[str]:
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG % upstream)
    words = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return [str(FOLDER / "litellm/.venv/bin/litellm"), *words]


_SERVER = FOLDER / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
PEERS = {
    "portkey": Peer(
        "Portkey",
        FOLDER / "portkey",
        _SERVER,
        lambda port, _upstream, _folder: ["node", str(_SERVER), f"--port={port}", "--headless"],
        lambda upstream: {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream},
        _install_portkey,
        {"NODE_ENV": "production"},
    ),
    "litellm": Peer(
        "LiteLLM",
        FOLDER / "litellm",
        FOLDER / "litellm/.venv/bin/litellm",
        _litellm_command,
        lambda _upstream: {},
        _install_litellm,
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
        "sk-bench",
        frozenset({"unary", "streams"}),  # 500 streams take it minutes
    ),
}


def install(names: Sequence[str]) -> None:
    """Installs the named peers; one that is there stays. Raises CalledProcessError with a half install removed."""
    for name in names:
        peer = PEERS[name]
        if peer.program.exists():
            continue
        peer.folder.mkdir(parents=True, exist_ok=True)
        try:
            peer.install(peer.folder)
        except BaseException:
            shutil.rmtree(peer.folder)
            raise


if __name__ == "__main__":
    install(sys.argv[1:] or list(PEERS))
