"""An OTLP/HTTP receiver on loopback, which decodes what it gets with OpenTelemetry's own messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class OtlpReceiver:
    """Answers with `status`, and keeps the spans and headers of each request."""

    url: str = ""
    status: int = 200
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    services: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """POST /v1/traces."""
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        sent = ExportTraceServiceRequest.FromString(await request.read())
        if self.status == 200:
            for each in sent.resource_spans:
                self.services.append(attributes_of(each.resource)["service.name"])
                self.spans += [span for scope in each.scope_spans for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(status=self.status, body=answer, content_type="application/x-protobuf")


def attributes_of(value: Any) -> dict[str, Any]:
    """The attributes of a span or resource."""
    return {each.key: _plain(each.value) for each in value.attributes}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(each) for each in value.array_value.values]
    return getattr(value, kind or "", None)


@asynccontextmanager
async def serving_receiver() -> AsyncIterator[OtlpReceiver]:
    """A receiver at a free port."""
    receiver = OtlpReceiver()
    app = web.Application()
    app.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None  # noqa: SLF001 - aiohttp has no other way to the port
    receiver.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        yield receiver
    finally:
        await runner.cleanup()
