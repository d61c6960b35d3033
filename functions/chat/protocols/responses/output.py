"""The output items of one response, as numbered events and as values."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from shared.events import CallPiece
from shared.sse import FrameTemplate, named_frame

FIRST_NUMBER: Final = 2  # after response.created and response.in_progress
_ZERO: Final = b"0}\n\n"  # the end of a template, whose number comes last
TextKind = Literal["output_text", "refusal"]


class OutputItems:
    """Writes the items one after the other; `items` has those that are complete.

    `custom` are the names of the client's custom tools, `has_signatures` whether the client wants those of reasoning.
    """

    def __init__(self, turn_id: str, custom: set[str], *, has_signatures: bool) -> None:
        self.items: list[dict[str, Any]] = []
        self._turn_id, self._custom, self._has_signatures = turn_id, custom, has_signatures
        self._numbers = FIRST_NUMBER
        self._open: dict[str, Any] | None = None
        self._part: TextKind | None = None  # of the open message
        self._pieces: list[str] = []
        self._delta: FrameTemplate

    def event(self, kind: str, **fields: Any) -> bytes:
        """One event with the next number."""
        number, self._numbers = self._numbers, self._numbers + 1
        return named_frame(kind, {"type": kind} | fields | {"sequence_number": number})

    def text(self, part: TextKind, text: str) -> bytes:
        """A piece of the answer or of a refusal."""
        opened = b""
        if not self._is_open("message"):
            opened += self._add({"type": "message", "role": "assistant", "content": []}, self._id("msg"))
        if self._part != part:
            opened += self._end_part() + self._begin_part(part)
        return opened + self._piece(text)

    def reasoning(self, text: str) -> bytes:
        """A piece of the model's reasoning, as a summary."""
        opened = b"" if self._is_open("reasoning") else self._add({"type": "reasoning", "summary": []}, self._id("rs"))
        if not self._pieces:
            part = {"type": "summary_text", "text": ""}
            opened += self.event("response.reasoning_summary_part.added", **self._place(), summary_index=0, part=part)
            self._delta = self._template("response.reasoning_summary_text.delta", summary_index=0)
        return opened + self._piece(text)

    def sign(self, signature: str) -> bytes:
        """The end of the reasoning; the provider that the signature names wants it back."""
        opened = b"" if self._is_open("reasoning") else self._add({"type": "reasoning", "summary": []}, self._id("rs"))
        if self._has_signatures and self._open is not None:
            self._open["encrypted_content"] = signature
        return opened + self.close()

    def call(self, piece: CallPiece) -> bytes:
        """A piece of a call. The input of a custom tool is sent when it is complete."""
        opened = b""
        is_custom = piece.name in self._custom
        if self._open is None or self._open.get("call_id") != piece.id:
            named = {"call_id": piece.id, "name": piece.name}
            if is_custom:
                opened = self._add({"type": "custom_tool_call", "input": ""} | named, f"ctc_{self._turn_id}_{piece.id}")
            else:
                opened = self._add({"type": "function_call", "arguments": ""} | named, f"fc_{self._turn_id}_{piece.id}")
                self._delta = self._template("response.function_call_arguments.delta")
        if is_custom or not piece.text:
            self._pieces.append(piece.text)
            return opened
        return opened + self._piece(piece.text)

    def close(self) -> bytes:
        """The end of the open item; nothing without one."""
        item = self._open
        if item is None:
            return b""
        match item["type"]:
            case "message":
                ended = self._end_part()
            case "reasoning":
                ended = self._end_reasoning(item)
            case "function_call":
                item["arguments"] = "".join(self._pieces)
                ended = self.event(
                    "response.function_call_arguments.done",
                    **self._place(),
                    name=item["name"],
                    arguments=item["arguments"],
                )
            case _:
                item["input"] = _input_of("".join(self._pieces))
                ended = self.event("response.custom_tool_call_input.delta", **self._place(), delta=item["input"])
                ended += self.event("response.custom_tool_call_input.done", **self._place(), input=item["input"])
        item["status"] = "completed"
        ended += self.event("response.output_item.done", output_index=len(self.items), item=item)
        self.items.append(item)
        self._open, self._pieces, self._part = None, [], None
        return ended

    def _id(self, prefix: str) -> str:
        """The id of the next item, which has the turn."""
        place = len(self.items) + (self._open is not None)
        return f"{prefix}_{self._turn_id}_{place}"

    def _is_open(self, kind: str) -> bool:
        return self._open is not None and self._open["type"] == kind

    def _add(self, item: dict[str, Any], item_id: str) -> bytes:
        closed = self.close()
        self._open = {"id": item_id, "status": "in_progress"} | item
        return closed + self.event("response.output_item.added", output_index=len(self.items), item=self._open)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._open["id"] if self._open else "", "output_index": len(self.items)}

    def _template(self, kind: str, **fields: Any) -> FrameTemplate:
        place = self._place() | fields
        return FrameTemplate(
            lambda mark: named_frame(kind, {"type": kind, "delta": mark} | place | {"sequence_number": 0})
        )

    def _piece(self, text: str) -> bytes:
        self._pieces.append(text)
        number, self._numbers = self._numbers, self._numbers + 1
        return self._delta.frame(text).removesuffix(_ZERO) + f"{number}}}\n\n".encode()

    def _begin_part(self, part: TextKind) -> bytes:
        self._part, self._pieces = part, []
        content_index = len(self._open["content"]) if self._open else 0
        logprobs: dict[str, Any] = {"logprobs": []} if part == "output_text" else {}
        self._delta = self._template(f"response.{part}.delta", content_index=content_index, **logprobs)
        empty = _text_part(part, "")
        return self.event("response.content_part.added", **self._place(), content_index=content_index, part=empty)

    def _end_part(self) -> bytes:
        """The end of the open part; nothing without one."""
        if self._part is None or self._open is None:
            return b""
        kind, text, content = self._part, "".join(self._pieces), self._open["content"]
        place = self._place() | {"content_index": len(content)}
        part = _text_part(kind, text)
        words = {"text": text, "logprobs": []} if kind == "output_text" else {"refusal": text}
        ended = self.event(f"response.{kind}.done", **place, **words)
        ended += self.event("response.content_part.done", **place, part=part)
        content.append(part)
        self._part = None
        return ended

    def _end_reasoning(self, item: dict[str, Any]) -> bytes:
        if not self._pieces:
            return b""
        text = "".join(self._pieces)
        part, place = {"type": "summary_text", "text": text}, self._place() | {"summary_index": 0}
        item["summary"].append(part)
        ended = self.event("response.reasoning_summary_text.done", **place, text=text)
        return ended + self.event("response.reasoning_summary_part.done", **place, part=part)


def _text_part(kind: TextKind, text: str) -> dict[str, Any]:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _input_of(arguments: str) -> str:
    """The text for a custom tool: the only field of the arguments, or what a model wrote instead of them."""
    try:
        value = json.loads(arguments)["input"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return arguments
    return value if isinstance(value, str) else arguments
