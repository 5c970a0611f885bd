"""Arbitrary clients, users, administrators and clocks, and what must hold whatever they do.

Every step does something through HTTP and says what must come of it by the model. After each, every token whose standing
the step may have changed is tried at its MCP server, at introspection and at userinfo.
"""

from typing import Any

import httpx2
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from gatelodge.cli.verbs import perform
from tests.invariants.model import CODE_LIVES, DAY, App, Authorization, Code, Connection
from tests.invariants.watching import Watched
from tests.invariants.world import SCOPES, SERVERS
from tests.oauth.scenes import claims_of
from tests.people import OAuthClient, returned

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
ANY = st.integers(0, 99)
SOME_SCOPES = st.sets(st.sampled_from(SCOPES), min_size=1)
SERVER = st.sampled_from(SERVERS)
STAYS = st.sampled_from([False, False, True])
"""Most changes are taken back before the story goes on, or soon nothing would be left that works."""
SECONDS = st.sampled_from([1, 1, 1, 29, 30, 31, 31, 31, 59, 60, 61, 599, 601, 3600, DAY, 30 * DAY])
REFRESH_POLICIES = {
    "Infinite": ("Infinite", 0),
    "Zero": ("Zero", 0),
    "SpecificLifetime": ("SpecificLifetime", 3600),
    "SpecificInactivity": ("SpecificInactivity", 3600),
}


def sent(scopes: set[str]) -> str:
    """A scope parameter."""
    return " ".join(sorted(scopes))


class Machine(Watched):
    """What may happen in a story."""

    @initialize(scopes=SOME_SCOPES)
    def have_met(self, scopes: set[str]) -> None:
        """Two apps act for the first user from the beginning, one for all its scopes."""
        for app, asked in ((0, set(SCOPES)), (1, scopes)):
            self.authorize(a=app, u=0, key=0, asked=asked, server=SERVERS[0])
            self.redeem(c=0, how="rightly")

    # --- clients and users ---------------------------------------------------------------------------------------------

    @rule(a=ANY, u=ANY, key=ANY, asked=SOME_SCOPES, server=SERVER)
    def authorize(self, a: int, u: int, key: int, asked: set[str], server: str) -> None:
        """A user is led to the org, and agrees to everything that a page asks."""
        app = self.model.apps[a % len(self.model.apps)]
        user, now = self.of_org(app, u), self.world.now
        if not user.is_active:
            return
        client = self.client(app, key)
        granted = asked & app.scopes
        granted |= {"refresh_token"} & app.scopes if granted else set()
        resource = self.world.uri(app.org, server) if "mcp_api" in granted else self.world.orgs[app.org].issuer
        url = client.authorize_url(scope=sent(asked), resource=resource if "mcp_api" in granted else None)
        page = self.world.come_in(user).go(url)
        may = app.is_enabled and app.has_key(client.client_id, now) and app.admits(user) and bool(granted)
        may = may and ("mcp_api" not in granted or self.is_open(app, server))
        if page.status_code == 200 and 'value="allow"' in page.text:
            assert may, "consent was asked for what can't be given"
            page = user.person.answer(page, answer="allow")
        back = returned(page) if page.status_code == 303 else {}
        assert ("code" in back) == may, (back, page.status_code, app)
        if may:
            agreed = self.model.authorization(user, app)
            agreed.scopes |= granted
            agreed.resources.add(resource)
            self.model.codes.append(
                Code(
                    value=back["code"], client=client, authorization=agreed, scopes=granted, resource=resource,
                    expires_at=now + CODE_LIVES,
                )
            )  # fmt: skip

    @precondition(lambda self: self.model.codes)
    @rule(
        c=ANY, how=st.sampled_from(["rightly", "rightly", "rightly", "verifier", "redirect", "resource", "app", "org"])
    )
    def redeem(self, c: int, how: str) -> None:
        """A code comes to the token endpoint, with the right proof or with a wrong one."""
        code = self.model.codes[-1 - c % len(self.model.codes)]
        app, now = code.authorization.app, self.world.now
        changes: dict[str, Any] = {}
        client = code.client
        if how == "verifier":
            changes = {"code_verifier": "x" * 43}
        elif how == "redirect":
            changes = {"redirect_uri": "https://client.example/callback/"}
        elif how == "resource":
            changes = {"resource": self.world.uri(app.org, "elsewhere")}
        elif how in ("app", "org"):
            app = self.model.apps[2 if how == "org" else app is self.model.apps[0]]
            client = self.world.client(app, app.key)
            client = OAuthClient(
                front=client.front, issuer=client.issuer, client_id=client.client_id, redirect_uri=client.redirect_uri,
                verifier=code.client.verifier,
            )  # fmt: skip
            if app is code.authorization.app:
                return
        answer = client.redeem(code.value, **self.proof(app, client), **changes)
        if how != "rightly":
            assert answer.status_code in (400, 401), answer.text
            return
        self.after_redeeming(code, [answer], now)

    @precondition(lambda self: self.model.codes)
    @rule(c=ANY)
    def redeem_at_once(self, c: int) -> None:
        """Several processes redeem one code at the same moment."""
        code, now = self.model.codes[-1 - c % len(self.model.codes)], self.world.now
        form = {
            "grant_type": "authorization_code", "code": code.value, "redirect_uri": code.client.redirect_uri,
            "code_verifier": code.client.verifier,
        }  # fmt: skip
        answers = self.world.together(code.client, form | self.proof(code.authorization.app, code.client))
        self.after_redeeming(code, answers, now)

    def after_redeeming(self, code: Code, answers: list[httpx2.Response], now: int) -> None:
        """A good code succeeds once; every further use of it ends what the first one began, and nothing else."""
        won = [answer for answer in answers if answer.status_code == 200]
        assert len(won) == code.is_good(now), ([answer.text for answer in answers], code)
        assert {answer.status_code for answer in answers} <= {200, 400, 401}
        if won:
            code.is_used = True
            code.connection = Connection(
                authorization=code.authorization, scopes=code.scopes, resource=code.resource, began_at=now, used_at=now
            )
            self.model.connections.append(code.connection)
        # Where the client itself is refused, nobody learns that the code is used, and nothing ends.
        if code.connection and len(answers) > len(won) and code.may_ask(now) and code.authorization.user.is_active:
            code.connection.has_ended |= now < code.expires_at + DAY
        if won and code.connection:
            self.given(code.connection, won[0], code.client.client_id, code.scopes, code.resource)
        self.news()

    @precondition(lambda self: any(each.family for each in self.model.connections))
    @rule(
        c=ANY, age=st.integers(0, 2), key=ANY, asked=st.none() | SOME_SCOPES,
        how=st.sampled_from(["rightly", "rightly", "rightly", "rightly", "forged", "resource", "app", "org"]),
    )  # fmt: skip
    def refresh(self, c: int, age: int, key: int, asked: set[str] | None, how: str) -> None:
        """A refresh token is used: the newest or an older one, for all or for fewer scopes, rightly or not."""
        found = [each for each in self.model.connections if each.family]
        connection = found[-1 - c % len(found)]
        index = max(0, len(connection.family) - 1 - age)
        app, value = connection.app, connection.family[index]
        client, changes = self.client(app, key), {"scope": sent(asked)} if asked else {}
        if how == "forged":
            value = value[:-3] + ("abc" if value[-3:] != "abc" else "cba")
        elif how == "resource":
            changes["resource"] = self.world.uri(app.org, "elsewhere")
        elif how in ("app", "org"):
            app = self.model.apps[2 if how == "org" else app is self.model.apps[0]]
            if app is connection.app:
                return
            client = self.world.client(app, app.key)
        answer = client.refresh(value, **self.proof(app, client), **changes)
        if how != "rightly":
            assert answer.status_code in (400, 401), answer.text
            return
        self.after_refreshing(connection, index, client.client_id, asked, [answer])

    @precondition(lambda self: any(each.family for each in self.model.connections))
    @rule(c=ANY)
    def refresh_at_once(self, c: int) -> None:
        """Several processes use the newest refresh token at the same moment."""
        found = [each for each in self.model.connections if each.family]
        connection = found[-1 - c % len(found)]
        client = self.client(connection.app, 0)
        form = {"grant_type": "refresh_token", "refresh_token": connection.family[-1]}
        answers = self.world.together(client, form | self.proof(connection.app, client))
        self.after_refreshing(connection, len(connection.family) - 1, client.client_id, None, answers)

    @precondition(lambda self: any(each.family for each in self.model.connections))
    @rule(c=ANY, key=ANY, seconds=st.sampled_from([0, 1, 29, 30, 31, 61]), age=st.integers(1, 2))
    def come_back_late(self, c: int, key: int, seconds: int, age: int) -> None:
        """A token is used, and after a while the one before it, as by a thief or by a process that overslept."""
        self.refresh(c=c, age=0, key=key, asked=None, how="rightly")
        self.later(seconds)
        self.refresh(c=c, age=age, key=key, asked=None, how="rightly")

    def after_refreshing(
        self, connection: Connection, index: int, client_id: str, asked: set[str] | None, answers: list[httpx2.Response]
    ) -> None:
        """A family has one newest token; an older one leads to it for a while, and then ends its connection."""
        scopes = connection.scopes & connection.app.scopes & (asked or set(SCOPES))
        may = connection.may_refresh(client_id, self.world.now)
        assert {answer.status_code for answer in answers} <= ({200} if may and scopes else {400, 401}) | (
            {400} if index < len(connection.family) - 1 else set()
        ), [answer.text for answer in answers]
        for answer in answers if may and scopes else []:
            is_newest = index == len(connection.family) - 1
            expected = is_newest or (connection.forgives(index, self.world.now_ms) and not connection.has_ended)
            assert (answer.status_code == 200) == expected, (answer.text, connection)
            if not expected:
                connection.has_ended = True
                break
            if is_newest:
                value = answer.json()["refresh_token"]
                assert value not in connection.family, "a refresh token came twice"
                connection.family.append(value)
                connection.superseded.append(self.world.now_ms)
                connection.used_at = self.world.now
            self.given(connection, answer, client_id, scopes, connection.resource)
        self.news()

    @precondition(lambda self: self.model.tokens)
    @rule(t=ANY, a=ANY, asked=st.none() | SOME_SCOPES, server=st.none() | SERVER)
    def exchange(self, t: int, a: int, asked: set[str] | None, server: str | None) -> None:
        """An app swaps an access token, its own or somebody else's, for fewer scopes or for another server."""
        token, now = self.model.tokens[-1 - t % len(self.model.tokens)], self.world.now
        app = self.model.apps[1 + a % 2]
        client = self.world.client(app, app.key)
        target = self.world.uri(app.org, server) if server else None
        form = {"grant_type": EXCHANGE, "subject_token": token.value, "subject_token_type": ACCESS}
        form |= {"scope": sent(asked)} if asked else {}
        form |= {"resource": target} if target else {}
        answer = client.token(**form, **self.proof(app, client))
        theirs = (token.scopes & app.scopes) - {"refresh_token"}
        scopes = asked or theirs
        may = token.lives(now) and token.connection.app is app and app.is_enabled and bool(scopes) and scopes <= theirs
        if target not in (None, token.audience):
            agreed = token.connection.authorization
            is_theirs = target in agreed.resources or bool(app.approved)
            may = may and "mcp_api" in scopes and self.is_open(app, server or "") and is_theirs
        assert (answer.status_code == 200) == may, (answer.text, token, app)
        if may:
            body = answer.json()
            assert now + body["expires_in"] <= token.expires_at
            assert "refresh_token" not in body
            self.given(token.connection, answer, client.client_id, scopes, target or token.audience)

    @rule(a=ANY, asked=st.none() | SOME_SCOPES, server=SERVER)
    def work_alone(self, a: int, asked: set[str] | None, server: str) -> None:
        """An app asks for a token of its own (client credentials)."""
        app, now = self.model.apps[1 + a % 2], self.world.now
        client = self.world.client(app, app.key)
        form = {"grant_type": "client_credentials"} | ({"scope": sent(asked)} if asked else {})
        ours = app.scopes - {"refresh_token", "openid"}
        scopes = (asked or ours) & ours
        if "mcp_api" in scopes:
            form["resource"] = self.world.uri(app.org, server)
        answer = client.token(**form, **self.proof(app, client))
        may = (
            app.is_enabled
            and app.run_as is not None
            and app.run_as.is_active
            and app.admits(app.run_as)
            and bool(scopes)
        )
        may = may and not (asked or set()) & {"refresh_token", "openid"}
        may = may and ("mcp_api" not in scopes or self.is_open(app, server))
        assert (answer.status_code == 200) == may, (answer.text, app)
        if may and app.run_as:
            resource = form.get("resource", self.world.orgs[app.org].issuer)
            agreed = self.model.authorization(app.run_as, app)
            connection = self.standing(agreed, answer, scopes, resource, now)
            self.given(connection, answer, client.client_id, scopes, resource)

    def standing(
        self, agreed: Authorization, answer: httpx2.Response, scopes: set[str], resource: str, now: int
    ) -> Connection:
        """The connection of an app's own work: the one that stands, or a new one."""
        said = claims_of(answer.json()["access_token"])["connection_id"]
        known = [each for each in self.model.connections if each.id == said]
        if known:
            assert known[0].stands and known[0].is_own_work and known[0].scopes == scopes, known
            assert known[0].authorization is agreed and known[0].resource == resource
            return known[0]
        made = Connection(
            authorization=agreed, scopes=scopes, resource=resource, is_own_work=True, began_at=now, used_at=now
        )
        self.model.connections.append(made)
        return made

    # --- endings --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.tokens)
    @rule(t=ANY, a=ANY, is_refresh=st.booleans())
    def revoke(self, t: int, a: int, is_refresh: bool) -> None:
        """An app revokes a token, its own or somebody else's (RFC 7009): 200 whatever comes of it."""
        token = self.model.tokens[-1 - t % len(self.model.tokens)]
        app, now = self.model.apps[a % len(self.model.apps)], self.world.now
        connection = token.connection
        value = connection.family[-1] if is_refresh and connection.family else token.value
        client = self.world.client(app, app.key)
        form = {"client_id": client.client_id, "token": value} | self.proof(app, client)
        answer = client.front.post(f"{client.issuer}/services/oauth2/revoke", data=form)
        assert answer.status_code == (200 if app.is_enabled else 400), answer.text
        is_read = value != token.value or now < token.expires_at
        connection.has_ended |= app.is_enabled and connection.app is app and is_read
        self.news()

    @precondition(lambda self: any(each.id for each in self.model.connections))
    @rule(c=ANY, u=ANY, whole=st.booleans())
    def take_back(self, c: int, u: int, whole: bool) -> None:
        """A user ends a connection or an app's authorization in My Connections; only their own."""
        found = [each for each in self.model.connections if each.id]
        connection = found[-1 - c % len(found)]
        user = self.model.users[u % len(self.model.users)]
        if not user.is_active:
            return
        target = connection.authorization if whole else connection
        page = self.world.look(user.org, "/connections", user)
        form_token = page.text.split('name="form_token" value="', 1)[1].split('"', 1)[0]
        sent_form = {"form_token": form_token, "act": "revoke" if whole else "end", "id": target.id}
        answer = user.person.front.post(f"{self.world.orgs[user.org].path}/setup/connections", data=sent_form)
        self.world.house.catch_up()
        may = user is connection.user and not target.has_ended
        assert answer.status_code == (303 if may else 404), (answer.status_code, target)
        assert (target.id in page.text) <= (user is connection.user)
        target.has_ended |= may
        self.news()

    # --- the administrator ---------------------------------------------------------------------------------------------

    @rule(a=ANY, stays=STAYS)
    def switch_app(self, a: int, stays: bool) -> None:
        """An app is disabled, or enabled again."""
        app = self.model.apps[a % len(self.model.apps)]
        app.is_enabled = not app.is_enabled
        self.policies(app, is_enabled="on" if app.is_enabled else None)
        if not (app.is_enabled or stays):
            self.switch_app(a=a, stays=True)

    @rule(a=ANY, servers=st.sampled_from([None, ("sobject-reads",), ("second",)]),
          approved=st.sampled_from(["", "", "Standard_User", "Administrator"]),
          refresh=st.none() | st.sampled_from(sorted(REFRESH_POLICIES)), minutes=st.sampled_from([10, 1, 60]))  # fmt: skip
    def change_policies(
        self, a: int, servers: tuple[str, ...] | None, approved: str, refresh: str | None, minutes: int
    ) -> None:
        """Other servers, other users, other lifetimes."""
        app = self.model.apps[a % len(self.model.apps)]
        app.servers, app.approved, app.minutes = servers, approved, minutes
        app.refresh_policy = REFRESH_POLICIES[refresh] if refresh else app.refresh_policy
        changes: dict[str, Any] = {
            "which_servers": "selected" if servers else "every", "mcp_servers": list(servers or ()) or None,
            "permitted_users": "AdminApprovedPreAuthorized" if approved else "AllSelfAuthorized",
            "permission_sets": [approved] if approved else None, "access_token_minutes": str(minutes),
            "default_mcp_server": servers[0] if servers else SERVERS[0],
        }  # fmt: skip
        if refresh:
            changes |= {"refresh_token_policy": refresh, "refresh_token_period": "1", "refresh_token_unit": "Hours"}
        self.policies(app, **changes)

    def policies(self, app: App, **changes: Any) -> None:
        """Save the app's Policies tab."""
        if app.run_as and not app.run_as.is_active and set(changes) != {"is_enabled"}:
            changes |= {"client_credentials": None, "run_as": ""}  # the form asks for a user who is there
            app.run_as = None
        answer = self.world.setup(app.org, f"/apps/{app.id}/policies", **changes)
        assert answer.status_code == 303, answer.text
        self.news()

    @rule(a=ANY, scopes=SOME_SCOPES, stays=STAYS)
    def edit_scopes(self, a: int, scopes: set[str], stays: bool) -> None:
        """The app's developer changes what it may ask for; its connections are refreshed with what is left."""
        app = self.model.apps[a % len(self.model.apps)]
        answer = self.world.setup(app.org, f"/apps/{app.id}/edit", scopes=sorted(scopes))
        assert answer.status_code == 303, answer.text
        before, app.scopes = app.scopes, scopes
        self.news()
        found = [each for each in self.model.connections if each.family]
        for n, each in enumerate(found):
            if each.app is app:
                self.refresh(c=len(found) - 1 - n, age=0, key=0, asked=None, how="rightly")
        if not stays:
            self.edit_scopes(a=a, scopes=before, stays=True)

    @rule(u=ANY, stays=STAYS)
    def switch_user(self, u: int, stays: bool) -> None:
        """A user is deactivated, or comes back."""
        user = self.model.users[u % len(self.model.users)]
        act = "deactivate" if user.is_active else "activate"
        assert self.world.setup(user.org, f"/users/{user.id}", act=act).status_code == 303
        if user.is_active:
            self.model.deactivate(user)
        else:
            user.is_active = True
        self.news()
        if not (user.is_active or stays):
            self.switch_user(u=u, stays=True)

    @rule(n=st.integers(0, 1), server=SERVER, stays=STAYS)
    def switch_server(self, n: int, server: str, stays: bool) -> None:
        """An MCP server is deactivated, or activated."""
        name = f"{n}/{server}"
        self.world.set_server(n, server, is_active=name in self.model.inactive_servers)
        self.model.inactive_servers ^= {name}
        self.news()
        if name in self.model.inactive_servers and not stays:
            self.switch_server(n=n, server=server, stays=True)

    @rule(a=ANY, act=st.sampled_from(["stage", "apply", "discard"]))
    def rotate_pair(self, a: int, act: str) -> None:
        """A second pair is staged, applied or discarded."""
        app, now = self.model.apps[1 + a % 2], self.world.now
        is_staged = bool(app.staged) and app.has_key(app.staged, now)
        if act == "stage":
            assert self.world.stage(app) != is_staged
            return
        answer = self.world.setup(app.org, f"/apps/{app.id}/credentials", act=act, confirm=app.api_name)
        if not is_staged:
            assert answer.status_code == (422 if act == "apply" else 303), answer.text
            app.secrets = {app.key: app.secrets[app.key]}
        else:
            assert answer.status_code == 303, answer.text
            kept = app.staged if act == "apply" else app.key
            app.secrets = {kept: app.secrets[kept]}
        app.staged = ""
        self.news()

    @rule(n=st.integers(0, 1), now=st.booleans())
    def rotate_keys(self, n: int, now: bool) -> None:
        """Another key signs, at once or in ten minutes."""
        asked = {"org": self.world.orgs[n].name, "algorithm": "", "now": now}
        self.world.house.run(perform(self.world.house.site, "keys rotate", asked))
        self.world.house.catch_up()
        self.seen.clear()
        self.news()

    # --- time and nodes --------------------------------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def later(self, seconds: int) -> None:
        """Time goes by."""
        self.world.house.later(seconds)
        self.news()

    @rule()
    def read_everything_anew(self) -> None:
        """The node lost its place in the feed, as after an outage."""
        self.world.house.run(self.world.house.site.live._read_all())
        self.seen.clear()
        self.news()

    @rule(n=st.integers(0, 1), path=st.sampled_from(["/apps", "/users", "/mcp-servers", "/connections", ""]))
    def look_around(self, n: int, path: str) -> None:
        """Nothing of one org is shown in the other, whoever looks."""
        other = self.world.orgs[1 - n].name
        page = self.world.look(n, path)
        assert page.status_code == 200 and f"{other} " not in page.text and f"/o/{other}" not in page.text
        for theirs in (f"/apps/{self.model.apps[0 if n else 2].id}", f"/users/{self.model.users[0 if n else 2].id}"):
            assert self.world.look(n, theirs).status_code == 404
