"""OpenAI's chat completions as a protocol."""

from __future__ import annotations

from typing import Final

from functions.chat.protocols.completions.encoders import CompletionJson, CompletionStream
from functions.chat.protocols.completions.request import read_completion_request
from functions.chat.protocols.openai_errors import reworded
from functions.chat.protocols.stateless import BorrowedProtocol

COMPLETIONS: Final = BorrowedProtocol(read_completion_request, CompletionStream, CompletionJson, reworded)
