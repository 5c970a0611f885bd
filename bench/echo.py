"""A very fast upstream of 2026-07-28: reads a JSON-RPC request, answers at once. ``subscriptions/listen`` stays open."""

import sys

import msgspec
import uvicorn

DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "ttlMs": 0,
    "cacheScope": "private",
}
TOOLS = {
    "resultType": "complete",
    "ttlMs": 0,
    "cacheScope": "private",
    "tools": [{"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}],
}
SAID = {"resultType": "complete", "content": [{"type": "text", "text": "echo"}], "isError": False}
OLD = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "echo", "version": "1"}}
RESULTS = {"server/discover": DISCOVERED, "tools/list": TOOLS, "tools/call": SAID, "initialize": OLD}
ACK = b'data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{}}}\n\n'


class Asked(msgspec.Struct):
    method: str
    id: msgspec.Raw = msgspec.Raw(b"null")


asked = msgspec.json.Decoder(Asked)


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    found = asked.decode(body) if body else Asked("")
    if found.method == "subscriptions/listen":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": ACK, "more_body": True})
        await receive()  # until the client leaves
        return
    if found.method not in RESULTS:
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    answer = msgspec.json.encode({"jsonrpc": "2.0", "id": found.id, "result": RESULTS[found.method]})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", loop="uvloop", http="httptools", lifespan="off"
    )
