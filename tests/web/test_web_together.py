"""Where addresses, limits and logs meet those who count by them."""

import subprocess
import sys

import pytest

from gatelodge.web.addresses import network_of
from tests.house import House
from tests.oauth.scenes import add_app
from tests.people import Form
from tests.requirements import requirement
from tests.running import environment

TRACED = """
import structlog
from gatelodge.web import logs

logs.configure(is_development=True)

def sign_in(password):
    raise LookupError("nobody")

try:
    sign_in("".join(["correct", " horse"]))
except LookupError:
    structlog.get_logger().error("incident", exc_info=True)
"""


@requirement("together:mapped-addresses")
def test_an_ipv4_address_in_ipv6_clothes_is_itself_and_a_zone_is_no_part_of_a_network():
    assert network_of("::ffff:198.51.100.7") == "198.51.100.7"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") == "2001:db8::/64"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("not an address") == "not an address"


@requirement("together:mapped-addresses")
def test_who_comes_by_a_proxy_that_writes_mapped_addresses_is_limited_alone(tmp_path):
    with House(tmp_path / "data", rate_limit=2, trusted_proxy=("203.0.113.0/24",)) as house:
        client = add_app(house)
        for last in range(1, 31):  # thirty callers, each with its first two requests
            for _ in range(2):
                sent = {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": "x"}
                told = client.front.post(
                    "/services/oauth2/token", data=sent, headers={"X-Forwarded-For": f"::ffff:198.51.100.{last}"}
                )
                assert told.status_code == 400, told.text


@requirement("together:guesses-by-network")
def test_a_household_with_a_network_of_its_own_guesses_no_more_than_one_with_an_address(house: House):
    browser, statuses = house.client(), []
    for guess in range(12):
        browser.come_from(f"2001:db8::{guess + 1:x}")
        fields = Form(browser.get("/setup/connect").text).forms[0][1] | {"user_code": "BCDF-GHJK"}
        statuses.append(browser.post("/setup/connect", data=fields).status_code)
    assert statuses == [400] * 10 + [429] * 2


@requirement("together:secret-tracebacks")
@pytest.mark.slow
def test_a_development_servers_traceback_shows_no_local_variables():
    done = subprocess.run(
        [sys.executable, "-c", TRACED], capture_output=True, text=True, timeout=30, check=True, env=environment()
    )
    assert "LookupError: nobody" in done.stderr and "correct horse" not in done.stderr
