"""Rows of the log as Parquet: the columns of `chat_logs` with their types, and the bytes of a file.

`ledger_lake` loads this module, and so arro3, with the first file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, Final

from arro3.core import Array, DataType, Field, RecordBatch, Schema, Table
from arro3.io import write_parquet

_TEXT, _WHOLE, _BIG, _FLAG, _USD, _SHARE, _TIME = "text", "int32", "int64", "boolean", "usd", "share", "time"
COLUMNS: Final[dict[str, str]] = {
    "id": _BIG,
    "turn_id": _TEXT,
    "request_id": _TEXT,
    "user_id": _TEXT,
    "conversation_id": _TEXT,
    "endpoint": _TEXT,
    "status": _TEXT,
    "question": _TEXT,
    "response": _TEXT,
    "tools_used": _TEXT,
    "input_tokens": _WHOLE,
    "output_tokens": _WHOLE,
    "cached_tokens": _WHOLE,
    "reasoning_tokens": _WHOLE,
    "usage_source": _TEXT,
    "cost_usd": _USD,
    "model": _TEXT,
    "provider": _TEXT,
    "model_identifier": _TEXT,
    "requested_model": _TEXT,
    "agent_type": _TEXT,
    "domain_classification": _TEXT,
    "user_skill_assessment": _TEXT,
    "escalation_suggested": _FLAG,
    "escalation_metadata": _TEXT,
    "context_size_tokens": _WHOLE,
    "duration_ms": _WHOLE,
    "ttft_ms": _WHOLE,
    "attempts": _TEXT,
    "finish_reason": _TEXT,
    "error_code": _TEXT,
    "user_id_hash": _TEXT,
    "metadata": _TEXT,
    "domain_confidence": _SHARE,
    "route_alias": _TEXT,
    "route_arm": _TEXT,
    "history_left_out": _WHOLE,
    "route_reason": _TEXT,
    "unresolved_model": _TEXT,
    "created_at": _TIME,
    "api_key_id": _TEXT,
    "rating": _WHOLE,
    "cached_cost_usd": _USD,
    "output_cost_usd": _USD,
    "reasoning_cost_usd": _USD,
    "asked_agent": _TEXT,
    "history_shown": _WHOLE,
    "cache_write_tokens": _WHOLE,
    "preset_version": _TEXT,
    "saved_usd": _USD,
}
"""Names and kinds, in the order in which `lake_page` gives the values of a row."""


def batch_of(rows: Sequence[Sequence[Any]]) -> RecordBatch:
    """The rows as an Arrow batch; amounts are texts and become decimals, so no digit is lost."""
    kinds: dict[str, tuple[DataType, Callable[[], DataType] | None]] = {
        _TEXT: (DataType.string(), None),
        _WHOLE: (DataType.int32(), None),
        _BIG: (DataType.int64(), None),
        _FLAG: (DataType.bool(), None),
        _USD: (DataType.string(), lambda: DataType.decimal128(18, 9)),
        _SHARE: (DataType.string(), lambda: DataType.decimal128(4, 3)),
        _TIME: (DataType.int64(), lambda: DataType.timestamp("us", tz="UTC")),
    }
    fields, arrays = [], []
    for (name, kind), values in zip(COLUMNS.items(), zip(*rows, strict=True), strict=True):
        sent, kept = kinds[kind]
        array = Array(values, type=sent)
        array = array.cast(kept()) if kept else array
        arrays.append(array)
        fields.append(Field(name, array.type))
    return RecordBatch.from_arrays(arrays, schema=Schema(fields))


def file_of(batches: Sequence[RecordBatch]) -> bytes:
    """A Parquet file with the rows of at least one batch."""
    file = io.BytesIO()
    write_parquet(Table.from_batches(batches), file, compression="zstd(3)")
    return file.getvalue()
