"""Apps that can prove who they are: a secret, as Setup gives one, and what callers of the endpoints beside token send."""

from typing import Any

import httpx2
import msgspec

from tests.house import House
from tests.oauth.flows import basic, give_secret
from tests.oauth.scenes import add_app
from tests.people import OAuthClient

SECRET_FLOWS = {"require_secret_for_web_server_flow": True, "require_secret_for_refresh_token_flow": True}


class Confidential(msgspec.Struct, frozen=True):
    """A client with its secret."""

    client: OAuthClient
    secret: str

    @property
    def basic(self) -> dict[str, str]:
        """The Authorization header of RFC 6749 §2.3.1."""
        return basic(self.client.client_id, self.secret)

    @property
    def post(self) -> dict[str, str]:
        """The same in a body."""
        return {"client_id": self.client.client_id, "client_secret": self.secret}


def add_confidential(house: House, *callback_urls: str, **changes: Any) -> Confidential:
    """An app with a secret, registered and live."""
    client = add_app(house, *callback_urls, **changes)
    return Confidential(client, give_secret(house, client))


def revoke(client: OAuthClient, token: str | None, **sent: Any) -> httpx2.Response:
    """POST to the revocation endpoint; ``headers`` or more fields may be given, None leaves one out."""
    return _post(client, "revoke", token, sent)


def asked(caller: Confidential, token: str | None, **sent: Any) -> httpx2.Response:
    """POST to the introspection endpoint, authenticated unless ``headers`` or fields say otherwise."""
    return _post(caller.client, "introspect", token, {"client_id": None, "headers": caller.basic} | sent)


def introspect(caller: Confidential, token: str, **sent: Any) -> dict[str, Any]:
    """What the introspection endpoint says to this caller."""
    answer = asked(caller, token, **sent)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store" and answer.headers["content-type"] == "application/json"
    return answer.json()


def _post(client: OAuthClient, endpoint: str, token: str | None, sent: dict[str, Any]) -> httpx2.Response:
    headers = sent.pop("headers", {})
    fields = {"client_id": client.client_id, "token": token} | sent
    kept = {name: value for name, value in fields.items() if value is not None}
    return client.front.post(f"{client.issuer}/services/oauth2/{endpoint}", data=kept, headers=headers)
