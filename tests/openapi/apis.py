"""A REST API over HTTP on this machine: what it is asked is kept, and it answers what a test says."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

PET = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string", "minLength": 1},
        "tag": {"type": "string", "nullable": True},
        "parent": {"$ref": "#/components/schemas/Pet"},
    },
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1.4"},
    "servers": [{"url": "http://169.254.169.254/latest"}],
    "paths": {
        "/pets": {
            "get": {
                "operationId": "listPets",
                "summary": "List pets",
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
                    {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                ],
                "responses": {"200": {"description": "Them."}},
            },
            "post": {
                "operationId": "createPet",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
                "responses": {
                    "201": {
                        "description": "It.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                    }
                },
            },
        },
        "/pets/{petId}": {
            "parameters": [{"$ref": "#/components/parameters/petId"}],
            "get": {
                "operationId": "getPet",
                "description": "One pet.",
                "responses": {"default": {"description": "It."}},
            },
            "delete": {"responses": {"204": {"description": "Gone."}}},
        },
    },
    "components": {
        "schemas": {"Pet": PET},
        "parameters": {"petId": {"name": "petId", "in": "path", "required": True, "schema": {"type": "string"}}},
    },
}


class Api:
    """``document`` is what it says of itself; ``asked`` every request; ``answers`` what is answered by path."""

    def __init__(self, document: Any = None) -> None:
        self.document = json.loads(json.dumps(DOCUMENT)) if document is None else document
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, Response] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Its base URL, while it runs."""
        listening = socket.create_server(("127.0.0.1", 0))
        routes = [Route("/{path:path}", self._answer, methods=["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"])]
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)
            listening.close()

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if path == "/v1/openapi.json":
            text = self.document if isinstance(self.document, str) else json.dumps(self.document)
            return Response(text, media_type="application/json")
        body = await request.body()
        self.asked.append(
            {
                "method": request.method,
                "target": request.scope["raw_path"].decode() + ("?" + request.url.query if request.url.query else ""),
                "query": request.query_params.multi_items(),
                "headers": dict(request.headers),
                "body": body,
            }
        )
        if path in self.answers:
            return self.answers[path]
        if request.method == "DELETE":
            return Response(status_code=204)
        if request.method == "POST" and path == "/v1/pets":
            return JSONResponse({"id": 7, **json.loads(body)}, 201)
        return JSONResponse({"said": request.method})


async def endless() -> Any:
    for _ in range(2000):
        yield b"x" * 65536


HOSTILE: dict[str, tuple[Response, str]] = {
    "redirect": (RedirectResponse("http://169.254.169.254/latest", 307), "redirects are not followed"),
    "image": (Response(b"\x89PNG", media_type="image/png"), "4 bytes of image/png"),
    "no type": (Response(b"\x00\x01"), "2 bytes of no content type"),
    "no JSON": (Response(b"{oh no", media_type="application/json"), "what is no JSON, though it says so"),
    "an error": (PlainTextResponse("no such pet " + "x" * 9000, 404), "The API answered 404 Not Found.\nno such pet"),
    "compressed": (Response(b"abc", headers={"content-encoding": "gzip", "content-type": "text/plain"}), "3 bytes of"),
    "endless": (StreamingResponse(endless(), media_type="text/plain"), "answered with more than 1024 bytes"),
}
