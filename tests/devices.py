"""Devices that can't open a browser: they show a code, and poll until somebody has entered it on another device."""

from typing import Any

import httpx2

from tests.running import Dev

SECONDS = 20
APPS: dict[str, str] = {}
"""The consumer key of the app for devices, by the data folder of its org."""


class Device:
    """One device of a running org, and the codes that it was given (RFC 8628 §3.2)."""

    def __init__(self, dev: Dev) -> None:
        self.issuer, self.client_id = dev.issuer, APPS.get(str(dev.data)) or APPS.setdefault(str(dev.data), _app(dev))
        sent = {"client_id": self.client_id, "scope": "mcp_api refresh_token", "resource": dev.mcp_url}
        answer = httpx2.post(f"{dev.issuer}/services/oauth2/device", data=sent, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        self.codes: dict[str, Any] = answer.json()

    def poll(self) -> httpx2.Response:
        """Ask whether the user has answered (§3.4)."""
        sent = {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": self.codes["device_code"],
            "client_id": self.client_id,
        }
        return httpx2.post(f"{self.issuer}/services/oauth2/token", data=sent, timeout=SECONDS)


def _app(dev: Dev) -> str:
    return dev.new_app("Kiosk", "--device-flow", "--callback", "https://kiosk.example/callback")
