"""The serving side of a node (architecture section 4): what is live, as faces ask for it."""

from gatelodge.live.node import LiveNode
from gatelodge.live.served import LiveServer, LiveUser, OrgKeys, Signer

__all__ = ["LiveNode", "LiveServer", "LiveUser", "OrgKeys", "Signer"]
