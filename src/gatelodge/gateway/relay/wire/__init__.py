"""HTTP/1.1 to one upstream: a pool of connections over httptools, and nothing that a call of an MCP server doesn't need
(decision 0050).
"""

from gatelodge.gateway.relay.wire.answer import Answer, Broken, NoHttp, Times
from gatelodge.gateway.relay.wire.pool import NotConnected, NotConnectedInTime, Pool
from gatelodge.gateway.relay.wire.writing import NotWritten, Place, place_of

__all__ = [
    "Answer", "Broken", "NoHttp", "NotConnected", "NotConnectedInTime", "NotWritten", "Place", "Pool", "Times", "place_of",
]  # fmt: skip
