"""Makes a development org before its server starts, and in it an app that can prove who it is; says both as JSON.

    python bench/furnish.py --port 8765 --data DIR

The database and its key file are taken from the environment, as the server takes them.
"""

import argparse
import asyncio
import os
from typing import Any

import msgspec

from gatelodge.app import build
from gatelodge.cli import seeding
from gatelodge.config import Config, load
from gatelodge.core import orgs, propagation, rotation, secrets
from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.settings import Settings
from gatelodge.core.operation import Operation
from gatelodge.core.scopes import MCP_API
from gatelodge.web.site import Site

ROBIN = "robin@acme.example"
"""The seeded administrator, as whom the app runs."""


def confidential(site: Site, org_id: str, secret: str) -> Operation[str]:
    """Register the app with its secret; its consumer key. It may ask about every token, as an API's gateway does."""
    settings = Settings(
        label="Bench",
        api_name="Bench",
        contact_email=ROBIN,
        callback_urls=("https://client.example/callback",),
        scopes=(MCP_API,),
        client_credentials_flow=True,
        introspect_all_tokens=True,
    )
    fresh = seeding.new_app(site, org_id, settings, preset="", created_by=ROBIN)
    fresh = msgspec.structs.replace(fresh, policies=Policies(client_credentials=True, run_as=ROBIN))
    now_ms = site.clock.now_ms()
    made = yield from propagation.create_app(fresh, actor="bench", now_ms=now_ms, delay=0)
    yield from rotation.make_secret(made, secrets.digest(secret), actor=ROBIN, now_ms=now_ms)
    return made.consumer_key


async def furnish(config: Config) -> dict[str, Any]:
    app = await build(config)
    try:
        told = await seeding.development(app.site)
        org = (await app.site.store.read(orgs.all_orgs, config.public_url))[0]
        secret = secrets.new_consumer_secret()
        client_id = await app.site.store.run(confidential, app.site, org.id, secret)
    finally:
        await app.stop()
    return {**msgspec.json.decode(told.as_json()), "confidential": {"client_id": client_id, "client_secret": secret}}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--port", required=True)
    asked.add_argument("--data", required=True)
    flags = {**vars(asked.parse_args()), "is_development": True}
    print(msgspec.json.encode(asyncio.run(furnish(load(flags, os.environ)))).decode())


if __name__ == "__main__":
    main()
