"""The relay: MCP servers of others behind our gate, of either era, for clients of either era."""

from gatelodge.gateway.relay.exchange import Done
from gatelodge.gateway.relay.inbound import Inbound
from gatelodge.gateway.relay.relay import Relay
from gatelodge.gateway.relay.upstream import Failed, Unauthorized, Upstream

__all__ = ["Done", "Failed", "Inbound", "Relay", "Unauthorized", "Upstream"]
