"""The host of the page: its headers, its configuration, and which addresses are pages."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from local import page

VARIABLES = {
    "SUPABASE_URL": "http://127.0.0.1:1",
    "SUPABASE_ANON_KEY": "sb_publishable_x",
    "SUPABASE_SERVICE_KEY": "sb_secret_x",
    "CHAT_URL": "https://chat.example.com/path",
    "LLMS_URL": "https://llms.example.com",
    "DEMO_EMAIL": "demo@parley.local",
    "DEMO_PASSWORD": "password",
}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A build with a script."""
    policy = "default-src 'none'; connect-src 'self' https: wss:"
    (tmp_path / "_headers").write_text(f"/*\n  Content-Security-Policy: {policy}\n")
    (tmp_path / "index.html").write_text("<!doctype html>the page")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index.js").write_text("run()")
    return tmp_path


async def _get(dist: Path, path: str) -> httpx.Response:
    app = page.create_app(page.page_config(VARIABLES), dist)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
        return await client.get(path)


@pytest.mark.anyio
async def test_the_address_of_a_page_is_answered_with_the_page(dist: Path) -> None:
    """`/c/…` and `/usage` are the application; a missing file is 404."""
    assert (await _get(dist, "/")).text == (await _get(dist, "/c/1")).text == "<!doctype html>the page"
    assert (await _get(dist, "/assets/index.js")).text == "run()"
    assert (await _get(dist, "/assets/old.js")).status_code == 404


@pytest.mark.anyio
async def test_every_response_has_the_policy_with_the_addresses_of_the_stack(dist: Path) -> None:
    """The page may connect to the given origins only; assets are kept, pages are revalidated."""
    response = await _get(dist, "/")
    origins = "http://127.0.0.1:1 https://chat.example.com https://llms.example.com ws://127.0.0.1:1"
    assert response.headers["content-security-policy"] == f"default-src 'none'; connect-src 'self' {origins}"
    assert response.headers["cache-control"] == "no-cache"
    assert "immutable" in (await _get(dist, "/assets/index.js")).headers["cache-control"]


@pytest.mark.anyio
async def test_the_configuration_has_the_demo_account_and_no_secret_key(dist: Path) -> None:
    """The publishable key is in it, the secret one never."""
    text = (await _get(dist, "/config.json")).text
    assert "sb_publishable_x" in text
    assert "sb_secret_x" not in text


def test_without_a_demo_account_the_configuration_names_none() -> None:
    """A hosted project has no demo account."""
    hosted = {name: value for name, value in VARIABLES.items() if not name.startswith("DEMO_")}
    assert page.page_config(hosted)["demo"] is None


def test_a_folder_without_a_build_has_no_page(tmp_path: Path, dist: Path) -> None:
    """The stack starts without it."""
    assert page.is_built(dist)
    assert not page.is_built(tmp_path / "other")
