"""The snippets of docs/api/assist.md: curl against the offline model, and the AI SDK's own readers of objects."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from functions.assist.presets import OFFERS
from functions.assist.request import presets_of
from tests.fakes.providers import Upstream
from tests.stack.assists import INSIGHT, name_of, plays, says
from tests.stack.conftest import ROOT, Models
from tests.stack.people import Person, Stack

_PAGE = (ROOT / "docs" / "api" / "assist.md").read_text()
_USE_OBJECT = """
import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { useBrief } from './brief.mjs';

const pieces = [];
const counting = async (...request) => {
  const response = await fetch(...request);
  const count = new TransformStream({ transform(piece, out) { pieces.push(piece.length); out.enqueue(piece); } });
  return new Response(response.body.pipeThrough(count), response);
};
let submit;
const finished = new Promise((onFinish, onError) => {
  const callbacks = { onFinish, onError, fetch: counting };
  const Brief = () => ((submit = useBrief(process.env.ASSIST_URL, process.env.TOKEN, callbacks).submit), null);
  renderToStaticMarkup(createElement(Brief));
});
await submit(JSON.parse(process.env.INPUT));
const { object, error } = await finished;
console.log(JSON.stringify({ object, error: error?.message ?? null, pieces: pieces.length }));
"""
_GENERATE = """
import { generateObject } from 'ai';
import { brief } from './brief.mjs';
import { preset } from './preset.mjs';

const model = preset(process.env.ASSIST_URL, process.env.TOKEN, '/insights/market-brief');
const { object, usage } = await generateObject({ model, schema: brief, prompt: process.env.INPUT });
console.log(JSON.stringify({ object, usage }));
"""


def _block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", _PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def _run(folder: Path, url: str, person: Person, body: dict[str, Any], script: str) -> Any:
    """The JSON that a script beside the page's snippets prints."""
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    (folder / "brief.mjs").write_text(_block("js"))
    (folder / "preset.mjs").write_text(_block("javascript"))
    (folder / "main.mjs").write_text(script)
    env = {**os.environ, "ASSIST_URL": url, "TOKEN": person.token, "INPUT": json.dumps(body), "NODE_NO_WARNINGS": "1"}
    command = ["node", "main.mjs"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_path_answers_on_the_offline_model(stack: Stack, alice: Person) -> None:
    """The curl lines of the page give valid answers for every path of the table, or say that there is none."""
    commands = re.findall(r"^curl .*?(?=^curl |\Z)", _block("sh"), re.DOTALL | re.MULTILINE)
    asked = [re.search(r"ASSIST_URL(?:/ai)?(/[^\"]+)", command) for command in commands]
    paths = [found[1] for found in asked if found]
    assert set(paths) == {path for offer in OFFERS.values() for path in offer.paths} | {"/presets"}
    for path, command in zip(paths, commands, strict=True):
        env = {**os.environ, "ASSIST_URL": stack["ASSIST_URL"], "TOKEN": alice.token}
        done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, timeout=280, check=True)
        answer = json.loads(done.stdout)
        if path == "/presets":
            assert len(answer["presets"]) == len(OFFERS)
            continue
        offer = next(each for each in OFFERS.values() if path in each.paths)
        if "error" in answer:  # a model of 135 million parameters may write without end
            assert answer["error"]["code"] in {"output_invalid", "answer_cut"}, answer
        else:
            failed = answer.get("errors", {})
            for preset in presets_of(offer):
                if not failed.keys() & preset.output.model_fields.keys():
                    preset.output.model_validate(answer)


@pytest.fixture
def answering(able: Models, upstream: Upstream) -> str:
    """A model that always gives the same insight."""
    return plays(upstream, able("fixed"), says(INSIGHT))


def test_use_object_reads_a_preset(alice: Person, assist_url: str, answering: str, tmp_path: Path) -> None:
    """The AI SDK's hook gets the whole object from the text of the stream."""
    shown = _run(tmp_path, assist_url, alice, {"market": "tea", "model": answering, "max_tokens": 901}, _USE_OBJECT)
    assert (shown["object"], shown["error"]) == (INSIGHT, None)
    assert shown["pieces"] >= 1


def test_generate_object_reads_a_preset(
    alice: Person, assist_url: str, answering: str, upstream: Upstream, tmp_path: Path
) -> None:
    """The AI SDK's function takes a preset as its model."""
    found = _run(tmp_path, assist_url, alice, {"market": "tea", "model": answering, "max_tokens": 902}, _GENERATE)
    assert found["object"] == INSIGHT
    assert found["usage"]["outputTokens"] > 0
    assert len(upstream.calls_of(name_of(answering))) == 1
