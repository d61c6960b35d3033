"""The keys of a local project: created once, private, of both kinds of Supabase."""

from __future__ import annotations

import stat
from pathlib import Path

import jwt
import pytest

from local.keys import Keys, load_or_create


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of keys."""
    found = tmp_path_factory.mktemp("keys") / "keys.json"
    load_or_create(found)
    return found


@pytest.fixture
def keys(path: Path) -> Keys:
    """The keys in that file."""
    return load_or_create(path)


def test_keys_are_created_once(path: Path, tmp_path: Path) -> None:
    """The file returns the same keys again; another project has other keys."""
    assert load_or_create(path) == load_or_create(path)
    assert load_or_create(path) != load_or_create(tmp_path / "keys.json")


def test_only_the_owner_can_read_the_file(path: Path) -> None:
    """The file holds service keys and the signing key."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_printing_shows_no_key(keys: Keys) -> None:
    """The representation contains none of the keys."""
    assert repr(keys) == f"{keys}" == "Keys(…)"


def test_the_new_keys_are_opaque(keys: Keys) -> None:
    """They are not JWTs: clients distinguish the kinds by their prefix."""
    assert keys.publishable_key.startswith("sb_publishable_")
    assert keys.secret_key.startswith("sb_secret_")
    assert "." not in keys.publishable_key + keys.secret_key


@pytest.mark.parametrize("role", ["anon", "service_role"])
def test_the_legacy_keys_are_tokens_of_a_role(keys: Keys, role: str) -> None:
    """They are HS256 JWTs with the role and an expiry years away."""
    token = keys.anon_key if role == "anon" else keys.service_role_key
    claims = jwt.decode(token, keys.jwt_secret, algorithms=["HS256"])
    assert claims["role"] == role
    assert claims["exp"] - claims["iat"] > 5 * 365 * 86400


def test_the_public_key_verifies_and_cannot_sign(keys: Keys) -> None:
    """The published key has the id and algorithm but no private part; it verifies tokens of the private key."""
    assert "d" not in keys.public_key
    assert keys.public_key["key_ops"] == ["verify"]
    assert {name: keys.public_key[name] for name in ("alg", "use", "kty", "crv")} == {
        "alg": "ES256",
        "use": "sig",
        "kty": "EC",
        "crv": "P-256",
    }
    token = jwt.encode({"a": 1}, jwt.PyJWK(keys.signing_key), "ES256")
    assert jwt.decode(token, jwt.PyJWK(keys.public_key), algorithms=["ES256"]) == {"a": 1}
