"""Secrets that the text itself names: `password: …`, headers, command lines, connection strings, phrases and codes.

The name stays, the value is replaced. Source code that only names a secret stays: calls, attributes, placeholders.
"""

from __future__ import annotations

import re
from typing import Final

from shared.redaction.rule import Rule

_ENDS_LIKE_A_SECRET = re.sub(
    r"[^|]+",
    r"(?<=\g<0>)",
    "password|passwd|passwort|passphrase|passcode|kennwort|pwd|secret|_pass|-pass|dbpass|userpass|mypass|rootpass"
    "|adminpass|apikey|api.key|accesskey|access.key|secretkey|secret.key|privatekey|private.key|accountkey|account.key"
    "|signingkey|signing.key|encryptionkey|encryption.key|masterkey|master.key|authkey|auth.key|accesstoken"
    "|access.token|refreshtoken|refresh.token|authtoken|auth.token|sessiontoken|session.token|bottoken|bot.token"
    "|phpsessid|jsessionid|connect.sid|contrase\u00f1a|contrasena|senha|mot.de.passe|motdepasse|wachtwoord|has\u0142o"
    "|l\u00f6senord|parola|\u043f\u0430\u0440\u043e\u043b\u044c|\u5bc6\u7801|\u5bc6\u78bc|\u53e3\u4ee4"
    "|\u30d1\u30b9\u30ef\u30fc\u30c9|\ube44\ubc00\ubc88\ud638",
)
_NEEDS = (
    *("pass", "pwd", "kennwort", "secret", "key", "token", "sessid", "sessionid", "sid", "contrase", "senha"),
    *("wachtwoord", "has\u0142o", "senord", "parola", "\u043f\u0430\u0440\u043e\u043b\u044c", "\u5bc6", "\u53e3\u4ee4"),
    *("\u30d1\u30b9\u30ef", "\ube44\ubc00"),
)
SECRET_NAME: Final = rf"(?i)[\w.-]++(?:{_ENDS_LIKE_A_SECRET}|(?<=authorization)|(?<=cookie))"
_QUOTE = r"(?:\\*+['\"])?+"  # also one that is escaped, in JSON within JSON
_SAYS = rf"{_QUOTE}[ \t]*+(?::=?|=>?)[ \t]*+{_QUOTE}"
# What is no value: a variable, a template, an asterisk for each character, an instruction to the reader.
_NO_VALUE = (
    r"(?!(?i:null|none|true|false|nil|undefined)\b|\$(?:[{(]|[A-Z][A-Z0-9_]{2,40}(?!\w))|\{\{|%[({]"
    r"|[*\u2022]{3,}|[xX]{4,}"
    r"(?!\w)|(?i:your[-_ ][\w-]{0,40}(?![^\w\s'\"<>,;})])|<[\w -]{1,40}>|\.\.\.)|%s(?!\w)|\{[a-z_.]{1,60}\})"
)
_SECRET_WORD = "(?:password|passwd|pwd|secret|token|key)"  # noqa: S105 - a pattern
_NO_CODE = (
    r"(?!(?i:str|string|bytes|bool|boolean|int|integer|number|any|text|object|required|optional|varchar|password"
    r"|keyof|typeof|unknown|never|!(?:vault|secret|env|ref|sub|getatt)|must|should|cannot|incorrect|invalid|wrong|expired|missing|needs|please|enter|choose|reset)(?![\w-])"
    r"|(?:[A-Z][A-Za-z]{0,30}\.){0,4}[A-Z][A-Za-z]{0,30}<|(?:[A-Z][A-Za-z]{0,30}\.){1,4}[A-Z][A-Za-z]{0,30}(?![\w!@#%^&*$-])"
    r"|(?:Get|Read|New|ConvertTo)-[A-Z][A-Za-z]{2,30}|(?:new |await )?[A-Za-z_$][\w.$:]{0,80}(?:\(|\[['\"\w]|->)"
    r"|(?:self|this|os|process|config|cfg|conf|settings|env|req|request|res|response|args|opts|options|params|props"
    r"|user|data|form|ctx|context|app|window|secrets|local|var|module|creds|credentials|input|state|event|body|db"
    r"|client|session|vault|sys|row|obj|me|item|record|kwargs|values|import|std|st|e|c|s|u)\??\.[A-Za-z_][\w.?]{0,80}"
    r"(?![\w!@#%^&*$-])"
    rf"|[A-Za-z]{{1,20}}(?:_[A-Za-z]{{1,20}}){{0,4}}_{_SECRET_WORD}(?![\w!@#%^&*$-])"
    rf"|[a-z]{{1,20}}(?:[A-Z][a-z]{{1,20}}){{0,3}}{_SECRET_WORD.title()}(?![\w!@#%^&*$-])"
    r"|[A-Za-z]{1,30}[?!]?\s*(?:\|\||\?\?|&&|==)|[a-z][A-Za-z]{0,30}\.(?:[a-z][A-Za-z]{0,30}\.)*"
    rf"(?i:[a-z]{{0,30}}_?{_SECRET_WORD})(?![\w!@#%^&*$-]))"
)
_VALUE = (
    rf"{_NO_VALUE}(?P<value>(?:(?<=\\\")[^\"\\\n]++|(?<=\\')[^'\\\n]++|(?<=\")(?![)\],;}}])(?:\\.|[^\"\\\n])++"
    rf"|(?<=')(?![)\],;}}])(?:\\.|[^'\\\n])++|(?<!['\"]){_NO_CODE}[^\s'\",;&}}\[\\<>]{{4,}}+))"
)
_LONG_VALUE = (  # no words
    r"(?P<value>(?!(?:(?:[A-Za-z]{1,19}(?![A-Za-z])|[A-Za-z][a-z]{1,18}(?![a-z]))[._/-]*+)++(?![\w.~+/-]))"
    r"[\w.~+/-]{16,}+=*+)"
)
TOKEN: Final = _LONG_VALUE
_ODD = r"(?=[^\s\"'`]{0,63}[\d!@#$%^&*+=~])"  # a value in prose has a digit or a sign
_CODES = r"[A-Za-z0-9]{4,10}(?:-[A-Za-z0-9]{3,10}){1,4}|\d{6,10}|(?=[a-z]{0,9}\d)[a-z0-9]{8,12}"
_CODE_NAMES = (
    *(
        "verification",
        "security code",
        "security pin",
        "one-time",
        "one time",
        "otp",
        "2fa",
        "mfa",
        "sms code",
        "login code",
    ),
    *("login pin", "sign-in code", "authentication code", "confirmation code", "access code", "access pin", "sms-code"),
)
_SAYINGS = (
    *("password is", "password was", "password to", "passwort ist", "passwort lautet", "kennwort ist", "passcode is"),
    *(
        "passphrase is",
        "pwd is",
        "mot de passe est",
        "wachtwoord is",
        "parola \u00e8",
        "secret is",
        "contrase\u00f1a es",
    ),
    *("senha \u00e9", "api key is", "api-key is", "login code is", "\u043f\u0430\u0440\u043e\u043b\u044c "),
)

PRIVATE_KEYS: Final = (
    Rule(
        "private_key",
        r"(?s)-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----.*?"
        r"(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        ("-----begin",),
    ),
    Rule("private_key", r"(?s)Private-Lines: \d{1,4}\s(?P<value>.*?)(?=Private-MAC|\Z)", ("private-lines",)),
)
NAMED_SECRETS: Final = (
    Rule("jwt", r"eyJ(?<![A-Za-z0-9]...)[\w-]{16,}+(?:\.[\w-]*+){0,4}", ("eyj",)),
    Rule(
        "secret",
        rf"(?i)(?:set-)?cookie2?{_QUOTE}[ \t]*+:[ \t]*+{_QUOTE}(?P<value>(?=[^\s=;'\"\n]{{1,80}}=)[^\n\"']++)",
        ("cookie",),
    ),
    Rule(
        "secret",
        rf"(?i)authorization{_SAYS}(?:bearer|basic|token|apikey|digest|bot|aws4-hmac-sha256)[ \t]++"
        rf"{_NO_VALUE}(?P<value>[^\s'\",;&}}\[\\]++)",
        ("authorization",),
    ),
    Rule(
        "secret",
        rf"(?<![\w.-])(?i:[\w.-]++(?={_QUOTE}[ \t]*+[:=])(?:{_ENDS_LIKE_A_SECRET})){_SAYS}{_VALUE}",
        _NEEDS,
    ),
    Rule(
        "secret",
        rf"(?<![\w.-])(?i:(?:pg|my|mysql|smtp|mail|ftp|ssh|wifi)?pass|pw){_SAYS}{_NO_VALUE}{_NO_CODE}(?=\S{{0,40}}\d)"
        r"(?P<value>(?=\S{0,40}[A-Za-z])[^\s'\",;&}\[\\<>]{6,}+)",
        ("pass:", "pass=", "pass =", 'pass"', "pass'", "pw:", "pw=", "pw =", 'pw"'),
    ),
    Rule("secret", rf"(?i:token){_SAYS}{_NO_VALUE}{_LONG_VALUE}(?!\()", ("token",)),
    Rule(
        "secret",
        rf"(?<![A-Za-z0-9_])[A-Z][A-Z0-9_]{{0,60}}_KEY{_SAYS}{_NO_VALUE}(?!\w{{8}}-\w{{4}}-){_LONG_VALUE}(?!\()",
        ("_key",),
    ),
    Rule("secret", rf"(?i)\bbearer[ \t]++{_NO_VALUE}(?P<value>[\w.~+/-]{{20,}}+=*+)", ("bearer",)),
    Rule(
        "secret",
        r"(?i)(?:\b(?:password|passwort|kennwort|passcode|passphrase|pwd|mot de passe|wachtwoord|parola|secret"
        r"|contrase\u00f1a|senha|api[ -]key|login code)|\u043f\u0430\u0440\u043e\u043b\u044c)"
        r" (?:is now|is|was|ist|est|es|\u00e9|to|lautet|\u00e8)[ :]{1,2}[\"'`]?"
        rf"(?P<value>{_NO_VALUE}{_ODD}[^\s\"'`]{{4,64}}(?<![.,;:?!)]))",
        (
            "pass",
            "pwd",
            "kennwort",
            "mot de",
            "wachtwoord",
            "parola",
            "secret",
            "contrase",
            "senha",
            "key",
            "code",
            "\u043f\u0430",
        ),
        also=_SAYINGS,
    ),
    Rule(
        "secret",
        r"(?i)(?:verification|security|one[- ]time|otp|2fa|mfa|sms|login|sign-in|authentication|confirmation|access)"
        r"[- ](?:code|pin|passcode|password)(?: is| was|:| =)?:? (?P<value>(?:[A-Z]{1,2}-)?\d{3}[- ]?\d{2,5})(?![\w-])",
        ("code", "pin", "pass", "otp", "2fa"),
        also=_CODE_NAMES,
    ),
    Rule(
        "secret",
        r"(?i)\b(?:pin|otp|tan)(?: code| number)?(?: is| ist|:| =)? (?P<value>\d{4,8})(?![\w.-])",
        ("pin ", "pin:", "pin=", "otp", "tan ", "tan:"),
    ),
    Rule(
        "secret",
        r"(?i)(?:seed|recovery|mnemonic|backup|secret(?: recovery)?|wallet)[ -](?:phrase|words?|seed)"
        r"[^\w\n]{0,3}(?:is|are|=)?"
        r"[^\w\n]{0,4}(?P<value>(?:[a-z]{3,8}[ ,]{1,2}){11,23}[a-z]{3,8})\b|\bmnemonic[^\w\n]{1,5}(?:is )?"
        r"(?P<words>(?:[a-z]{3,8} ){11,23}[a-z]{3,8})\b",
        ("phrase", "mnemonic", "seed words", "recovery words", "backup words", "wallet seed"),
    ),
    Rule(
        "secret",
        rf"(?i)(?:recovery|backup|scratch|rescue|emergency) (?:codes?|keys?)(?: are| is)?[^\w]{{1,5}}"
        rf"(?P<value>(?:(?:{_CODES})[\s,;]{{1,3}}){{0,20}}(?:{_CODES}))(?![\w-])",
        ("code", "key"),
        also=(
            "recovery code",
            "backup code",
            "scratch code",
            "rescue code",
            "emergency code",
            "recovery key",
            "backup key",
        ),
    ),
    Rule(
        "secret",
        r"--(?:[a-z]{1,20}-){0,3}(?:password|passwd|pass|secret|token|api-key|access-key|secret-key|auth)[ =]++['\"]?+"
        rf"(?P<value>{_NO_VALUE}(?![-$<\[]|(?:stdin|file)\b)[^\s'\"<>]{{4,}}+)",
        ("--",),
    ),
    Rule(
        "credentials",
        r"(?:(?<=\s-u )|(?<=\s-u)(?=['\"])|(?<=--user )|(?<=--user=))['\"]?+"
        r"(?P<value>(?!\d+:\d+)[^\s:'\"$<]{1,80}:[^\s'\"$<]{3,})",
        (" -u", "--user"),
    ),
    Rule(
        "secret",
        rf"(?:sshpass -p|redis-cli(?: -[a-z] [^\s-]\S{{0,60}}){{0,3}} -a) *['\"]?(?P<value>{_NO_VALUE}[^\s'\"$]{{4,}})",
        ("sshpass", "redis-cli"),
    ),
    Rule("secret", r"\blogin \S{1,80} password (?P<value>\S{4,})", ("login",)),
    Rule(
        "secret",
        rf"(?i)<(?:\w{{0,40}})(?:password|passwd|secret|api-?key|token|pwd)>{_NO_VALUE}(?P<value>[^<>]{{4,200}})</",
        ("</",),
    ),
    Rule(
        "credentials",
        r"(?<=:)//(?P<value>[^\s/:@'\"<>]*+:(?![$<{*])[^\s/?#'\"<>]+)(?=@)"
        r"|jdbc:oracle:thin:(?P<oracle>[^\s/@]{1,80}/[^\s/@]+)(?=@)"
        r"|(?<=:)//(?P<user>(?=[A-Za-z_-]{0,60}\d)[\w-]{20,200})(?=@)",
        ("://", "jdbc:oracle"),
    ),
)
