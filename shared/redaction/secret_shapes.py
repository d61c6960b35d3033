"""Keys and tokens that their shape alone identifies: prefixes of providers, webhook addresses, signatures in URLs.

Each alternative begins with a literal prefix, and its repeats are bounded or possessive: the search is linear.
"""

from __future__ import annotations

import re
from typing import Final

from shared.redaction.rule import Rule

_WORD, _PLAIN, _HEX = r"[\w-]", "[A-Za-z0-9]", "[a-f0-9]"
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# The prefix of a key and the pattern of its rest.
_KEYS: Final = {
    # models
    "sk-": rf"{_WORD}{{20,}}+",
    "AIza": rf"{_WORD}{{35,}}+",
    "AQ.": rf"{_WORD}{{30,}}+",
    "hf_": rf"{_PLAIN}{{30,}}+",
    "gsk_": rf"{_PLAIN}{{20,}}+",
    "xai-": rf"{_PLAIN}{{40,}}+",
    "r8_": rf"{_PLAIN}{{30,}}+",
    "pplx-": rf"{_PLAIN}{{32,}}+",
    "nvapi-": rf"{_WORD}{{40,}}+",
    "fw_": rf"{_PLAIN}{{22,}}+",
    "csk-": rf"{_PLAIN}{{32,}}+",
    "pcsk_": rf"{_WORD}{{32,}}+",
    "jina_": rf"{_PLAIN}{{32,}}+",
    "tvly-": rf"{_WORD}{{20,}}+",
    "lsv2_": rf"(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{10}}",
    "e2b_": rf"{_HEX}{{32,}}+",
    "tgp_v1_": rf"{_WORD}{{30,}}+",
    # clouds
    **dict.fromkeys(("AKIA", "ASIA", "ABIA", "ACCA"), "[A-Z0-9]{16}(?![A-Za-z0-9])"),
    "ABSK": r"[A-Za-z0-9+/]{100,}+=*+",
    "bedrock-api-key-": r"[\w+/-]{30,}+=*+",
    "ya29.": rf"{_WORD}{{20,}}+",
    "1//0": rf"{_WORD}{{30,}}+",
    "GOCSPX-": rf"{_WORD}{{20,}}+",
    "dop_v1_": rf"{_HEX}{{64}}",
    "doo_v1_": rf"{_HEX}{{64}}",
    "dor_v1_": rf"{_HEX}{{64}}",
    "LTAI": rf"{_PLAIN}{{16,20}}(?![A-Za-z0-9])",
    "AKID": rf"{_PLAIN}{{32}}(?![A-Za-z0-9])",
    "fm1r_": r"[\w+/=-]{30,}+",
    "fm2_": r"[\w+/=-]{30,}+",
    "fo1_": rf"{_WORD}{{40,}}+",
    "HRKU-": rf"{_WORD}{{30,}}+",
    "rnd_": rf"{_PLAIN}{{28,}}+",
    "sbp_": rf"{_HEX}{{40}}",
    "sb_secret_": rf"{_WORD}{{20,}}+",
    "pscale_": r"(?:tkn|pw|oauth)_[\w.-]{30,}+",
    "napi_": rf"{_PLAIN}{{40,}}+",
    "vcp_": rf"{_PLAIN}{{24,}}+",
    "nfp_": rf"{_PLAIN}{{36,}}+",
    "dapi": rf"{_HEX}{{32}}(?:-\d)?",
    "hvs.": rf"{_WORD}{{24,}}+",
    "hvb.": rf"{_WORD}{{24,}}+",
    "pul-": rf"{_HEX}{{40}}",
    "dp.": r"(?:pt|st|ct|sa|scim|audit)\.[\w.-]{40,}+",
    "tskey-": r"[a-z]{3,10}-\w{6,}+-\w{20,}+",
    "AGE-SECRET-KEY-1": "[A-Z0-9]{58}",
    "ops_eyJ": r"[\w-]{100,}+",
    # code and packages
    **{f"gh{kind}_": rf"{_PLAIN}{{36,}}+" for kind in "pousr"},
    "github_pat_": r"\w{22,}+",
    **{
        f"{kind}-": r"[\w.-]{20,}+" for kind in ("glpat", "gldt", "glrt", "glptt", "glcbt", "glagent", "glsoat", "glft")
    },
    "GR1348941": rf"{_WORD}{{20,}}+",
    "ATATT3": r"[\w=-]{50,}+",
    "ATBB": rf"{_PLAIN}{{32}}(?![A-Za-z0-9])",
    "ATCTT3": r"[\w=-]{50,}+",
    "npm_": rf"{_PLAIN}{{36}}",
    "pypi-AgE": rf"{_WORD}{{50,}}+",
    "rubygems_": rf"{_HEX}{{48}}",
    "dckr_": r"(?:pat|oat)_[\w-]{20,}+",
    "oy2": "[a-z0-9]{43}(?![A-Za-z0-9])",
    "CLOJARS_": rf"{_PLAIN}{{60}}",
    "cio": rf"{_PLAIN}{{32}}(?![A-Za-z0-9])",
    "sqp_": rf"{_HEX}{{40}}",
    "squ_": rf"{_HEX}{{40}}",
    "CCIPAT_": r"\w{40,}+",
    "bkua_": rf"{_HEX}{{40}}",
    # chat, mail, money
    "xox": r"[abeprsc]-[\w.-]{10,}+",
    "xapp-": r"\d-[A-Z0-9]{6,20}-\d{6,20}-[a-f0-9]{20,}+",
    "SG.": r"[\w-]{16,24}\.[\w-]{30,50}",
    "key-": rf"{_HEX}{{32}}(?![A-Za-z0-9])",
    "xkeysib-": rf"{_HEX}{{64}}-{_PLAIN}{{16}}",
    "xsmtpsib-": rf"{_HEX}{{64}}-{_PLAIN}{{16}}",
    "re_": rf"{_PLAIN}{{8,12}}_{_PLAIN}{{20,}}+",
    "SK": rf"{_HEX}{{32}}(?![A-Za-z0-9])",
    **{f"{kind}_": rf"(?:live_|test_)?{_PLAIN}{{20,}}+" for kind in ("rk", "sk", "whsec")},
    "sq0": r"(?:atp|csp|idp)-[\w-]{22,43}",
    "EAAA": rf"(?=[\w-]{{0,60}}\d){_WORD}{{56,}}+",
    "shp": r"(?:at|ca|pa|ss|tka)_[a-fA-F0-9]{32}",
    "access_token$production$": rf"[a-z0-9]{{16}}\${_HEX}{{32}}",
    "rzp_": rf"(?:live|test)_{_PLAIN}{{14,}}+",
    "FLWSECK": rf"(?:_TEST)?-{_PLAIN}{{30,}}+(?:-X)?",
    "EAA": rf"{_PLAIN}{{90,}}+",
    "ntn_": rf"{_PLAIN}{{40,}}+",
    "secret_": rf"{_PLAIN}{{40,}}+",
    "lin_api_": rf"{_PLAIN}{{32,}}+",
    "figd_": rf"{_WORD}{{36,}}+",
    "pat": rf"{_PLAIN}{{14}}\.[a-f0-9]{{64}}",
    "PMAK-": rf"{_HEX}{{24}}-{_HEX}{{34}}",
    "phx_": rf"{_PLAIN}{{40,}}+",
    "glsa_": rf"{_PLAIN}{{32}}_[a-fA-F0-9]{{8}}",
    "glc_": r"[A-Za-z0-9+/]{40,}+=*+",
    "NRAK-": r"[A-Z0-9]{27}",
    "NRII-": rf"{_WORD}{{32}}",
    "sntrys_": r"[\w+/=-]{60,}+",
    "sntryu_": rf"{_HEX}{{64}}",
    "dt0c01.": r"[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "sk.eyJ": r"[\w.-]{40,}+",
    "xprv": r"[1-9A-HJ-NP-Za-km-z]{100,}+",
    "pk_": rf"(?!live_|test_)(?=[a-z0-9]{{0,40}}\d){_PLAIN}{{32,}}+",
    "ory_": r"(?:at|rt|ac|st|pat)_[\w.-]{30,}+",
}
_BOT = r"(?<!\d)\d{8,10}:AA[\w-]{32,34}(?![\w-])"
_DISCORD = r"\.G(?<=[\w-]{23}\.G)[\w-]{5}\.[\w-]{27,40}(?![\w-])"  # the id of the bot stays
_AZURE = r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])"
_AWS_PAIR = r"\[key\][\s,:;|'\"]{1,4}(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"

# The address of a webhook is its only secret: what the text needs, and the pattern of the address. The host stays.
_WEBHOOKS: Final = {
    "hooks.slack": r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?P<value>[\w/-]{8,}+)",
    "webhooks/": r"discord(?:app)?\.com/api/(?:v\d+/)?webhooks/(?P<value>\d{5,20}/[\w-]{20,}+)",
    ".com/webhook": r"(?:outlook|webhook)\.office(?:365)?\.com/webhook(?:b2)?/(?P<value>[\w@/-]{20,}+)",
    "hooks.zapier": r"hooks\.zapier\.com/hooks/(?P<value>[\w/-]{8,}+)",
    "maker.ifttt": r"maker\.ifttt\.com/trigger/[\w-]{1,80}/(?:json/)?with/key/(?P<value>[\w-]{10,}+)",
    "hook.": r"hook\.(?:[a-z0-9]{2,5}\.)?(?:make|integromat)\.com/(?P<value>[a-z0-9]{20,}+)",
    "/open-apis/bot": r"/open-apis/bot/(?:v2/)?hook/(?P<value>[\w-]{20,}+)",
    "webhook/send": r"webhook/send\?key=(?P<value>[\w-]{20,}+)",
    "webhook.site": r"webhook\.site/(?P<value>[\w-]{36})",
    ".m.pipedream.net": r"//(?P<value>[\w-]{8,60}+)\.m\.pipedream\.net",
    "/hook": r"/hooks?/(?P<value>[a-z0-9]{26}(?![a-z0-9])|[A-Za-z0-9]{15,24}/[A-Za-z0-9]{30,}+)",
    "/webhook": rf"/webhooks?(?:-test)?/(?P<value>{_UUID}|(?=[A-Za-z_-]{{0,60}}\d)[\w-]{{24,}}+)",
}

# Values of a query: signatures, keys and codes, also where the text escapes the ampersand.
_NO_WORDS = r"(?!(?:[A-Za-z]{1,19}(?![A-Za-z])[._/-]*+)++(?![\w.~+/%-]))"
_QUERY_NEEDS = (
    "sig=",
    "sign=",
    "signature=",
    "token=",
    "credential=",
    "key=",
    "code=",
    "hmac=",
    "jwt=",
    "auth=",
    "secret=",
    "otp=",
    "ticket=",
    "magic=",
)
_QUERY = (
    r"(?i)[?&;](?<!\[.)(?:amp;)?(?:(?:x-(?:amz|goog|oss|cos|ms)-)?(?:signature|security-token|credential)|sig|sign|hmac"
    r"|(?:access|auth|refresh|id|api|session|csrf|reset|invite|sas)?[_-]?token|(?:api|access|auth|subscription|function)"
    rf"[_-]?key|code|key|jwt|auth|secret|client_secret|otp|ticket|state_token|magic)=(?P<value>{_NO_WORDS}"
    r"[\w.~+/%-]{12,}+=*+)"
)


def _key(prefix: str, rest: str) -> str:
    """A pattern that begins with the literal prefix, which `re` searches for at once."""
    return rf"{re.escape(prefix)}(?<![A-Za-z0-9].{{{len(prefix)}}}){rest}"


SECRET_SHAPES: Final = (
    *(Rule("webhook", pattern, (need,)) for need, pattern in _WEBHOOKS.items()),
    *(Rule("key", _key(prefix, rest), (prefix.lower(),)) for prefix, rest in _KEYS.items()),
    Rule("key", _BOT, (":aa",)),
    Rule("key", _DISCORD, (".g",)),
    Rule("key", _AZURE, ("q~",)),
    Rule("key", _AWS_PAIR, ("akia", "asia")),
    Rule("secret", _QUERY, _QUERY_NEEDS),
)
