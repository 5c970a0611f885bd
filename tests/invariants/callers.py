"""What clients and users do in a story, each step with what must come of it by the model."""

from typing import Any

import httpx2
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.invariants.model import CODE_LIVES, DAY, Authorization, Code, Connection
from tests.invariants.watching import Watched
from tests.invariants.world import SCOPES, SERVERS
from tests.oauth.scenes import claims_of
from tests.people import OAuthClient, returned

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
ANY = st.integers(0, 99)
SOME_SCOPES = st.sets(st.sampled_from(SCOPES), min_size=1)
SERVER = st.sampled_from(SERVERS)


def sent(scopes: set[str]) -> str:
    """A scope parameter."""
    return " ".join(sorted(scopes))


class Callers(Watched):
    """What clients and users may do in a story."""

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
        may = user is connection.user and (not target.has_ended if whole else connection.stands)
        assert answer.status_code == (303 if may else 404), (answer.status_code, target)
        assert (target.id in page.text) <= (user is connection.user)
        target.has_ended |= may
        self.news()
