"""A server of the mcp library over standard input and output, as its documentation writes one."""

import asyncio

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("library")


@server.tool()
async def tell(what: str, context: Context) -> str:
    """Tells what it was told."""
    await context.report_progress(1, 2)
    return f"done: {what}"


asyncio.run(server.run_stdio_async())
