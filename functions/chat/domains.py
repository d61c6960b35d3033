"""The domain of a question: by rules with a confidence, or by a model when the rules are not sure.

The rules always give the same result. They know English words only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.gateway import ModelSession
from shared.messages import Message
from shared.structured import ask_for

SURE_FROM: Final = 0.6
_READ_CHARACTERS = 8_000  # the beginning of a question is enough
_MAX_HITS = 3
_PRIOR = 1.0  # added to the sum of weights, so that one weak word gives a low confidence

DomainName = Literal["general", "technical", "research"]


@dataclass(frozen=True, slots=True)
class Domain:
    """The domain of a question, named like its agent; `confidence` is from 0 to 1, `by` is `rules` or `model`."""

    name: str
    confidence: float
    by: Literal["rules", "model"] = "rules"

    @property
    def is_sure(self) -> bool:
        """Whether the rules alone are enough, without a model."""
        return self.confidence >= SURE_FROM


_Sign = tuple[float, str]
_SIGNS: Final[dict[str, tuple[_Sign, ...]]] = {
    "general": (
        (2.0, r"^\W{0,8}(?:hi|hello|hey|thanks?|thank you|good (?:morning|evening|night))\b"),
        (
            1.5,
            r"\b(?:recipes?|cook|dinner|birthday|poems?|jokes?|holidays?|trip|gifts?|movies?|songs?|weather|wedding)\b",
        ),
        (1.0, r"\b(?:translate|rephrase|proofread|congratulat\w+|invitation|story|letter)\b"),
    ),
    "technical": (
        (2.0, r"```|^[ \t]{0,8}(?:\$|>>>|sudo|pip|npm|git|docker|kubectl|curl|select .{1,200} from)\s"),
        (2.0, r"\b(?:traceback|stack ?trace|\w*(?:Error|Exception)|segfault|deadlocks?|exit code|[45]\d\d error)\b"),
        (1.5, r"\b[\w/-]{1,80}\.(?:py|jsx?|tsx?|go|rs|java|kt|cpp|sql|ya?ml|toml|sh|css|html|tf)\b"),
        (1.5, r"\b(?:python|javascript|typescript|rust|golang|java|kotlin|postgres(?:ql)?|sqlite|docker|kubernetes)\b"),
        (1.5, r"\b(?:linux|bash|git|react|regex|apis?|sdk|sql|css|html|json|oauth|jwt|cors|tls|dns|webhooks?|redis)\b"),
        (
            1.0,
            r"\b(?:debug|compil\w+|deploy\w*|refactor\w*|configur\w+|implement\w*|migrations?|endpoints?)\b",
        ),
        (
            1.0,
            r"\b(?:race condition|memory leak|bugs?|crash\w*|unit tests?|servers?|databases?|scripts?)\b",
        ),
        (1.0, r"\b(?:code|function|algorithms?|async|await|compiler|thread|variable|exceptions?)\b"),
    ),
    "research": (
        (1.5, r"\b(?:compare|comparison|versus|vs|pros and cons|trade-?offs?|evidence|stud(?:y|ies)|literature)\b"),
        (1.5, r"\b(?:sources?|citations?|cite|peer.reviewed|meta.analysis|hypothes[ie]s|state of the art)\b"),
        (1.5, r"\b(?:average|median|correlat\w+|volatility|forecast\w*|distribution|per (?:day|week|month|year))\b"),
        (1.0, r"\b(?:research|investigate|analy[sz]e|analysis|trends?|statistic\w*|highest|lowest|time series)\b"),
        (1.0, r"\b(?:how many|datasets?|bars?|prices?|volumes?|returns?|ticks?|market|survey|history of|how likely)\b"),
    ),
}
_PATTERNS: Final = {
    name: [(weight, re.compile(sign, re.IGNORECASE | re.MULTILINE)) for weight, sign in signs]
    for name, signs in _SIGNS.items()
}


def classified(question: str) -> Domain:
    """The domain by rules. Each domain has weighted words; its score counts each word at most `_MAX_HITS` times.

    The confidence is the share of the best score in the two best.
    """
    text = question[:_READ_CHARACTERS]
    scores = {
        name: sum(weight * min(len(set(sign.findall(text))), _MAX_HITS) for weight, sign in signs)
        for name, signs in _PATTERNS.items()
    }
    best, second = sorted(scores.items(), key=lambda each: -each[1])[:2]
    if best[1] == 0:
        return Domain("general", 0.5)
    return Domain(best[0], round(best[1] / (best[1] + second[1] + _PRIOR), 3))


class Classification(BaseModel):
    """What a question is about."""

    model_config = ConfigDict(extra="forbid")

    domain: DomainName
    confidence: float = Field(ge=0, le=1)


_ASKED: Final = (
    "Say what the question below is about: `technical` for code, systems and engineering, `research` for data, "
    "sources, analysis and comparisons, `general` for everything else; and how sure you are, from 0 to 1. "
    "Do not answer it.\n\n"
)


async def asked_of_model(session: ModelSession, question: str) -> Domain:
    """The domain by a model, whose options have the schema of Classification. Raises what `ask_for` raises."""
    messages = (Message("user", _ASKED + question[:_READ_CHARACTERS]),)
    answer = await ask_for(Classification, session, messages)
    return Domain(answer.domain, round(answer.confidence, 3), "model")


def max_classification_tokens(question: str) -> int:
    """The most input tokens of the classification, with its second try."""
    return 2 * (len(_ASKED) + len(question[:_READ_CHARACTERS].encode())) + 2_000
