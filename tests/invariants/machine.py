"""Arbitrary clients, users, administrators and clocks, and what must hold whatever they do.

Every step does something through HTTP and says what must come of it by the model. After each, every token whose standing
the step may have changed is tried at its MCP server, at introspection and at userinfo.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gatelodge.cli.verbs import perform
from tests.invariants.callers import ANY, SERVER, SOME_SCOPES, Callers
from tests.invariants.model import DAY, App
from tests.invariants.world import SERVERS

STAYS = st.sampled_from([False, False, True])
"""Most changes are taken back before the story goes on, or soon nothing would be left that works."""
SECONDS = st.sampled_from([1, 1, 1, 29, 30, 31, 31, 31, 59, 60, 61, 599, 601, 3600, DAY, 30 * DAY])
REFRESH_POLICIES = {
    "Infinite": ("Infinite", 0),
    "Zero": ("Zero", 0),
    "SpecificLifetime": ("SpecificLifetime", 3600),
    "SpecificInactivity": ("SpecificInactivity", 3600),
}


class Machine(Callers):
    """All that may happen in a story: what callers do, what administrators change, and time."""

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

    @precondition(lambda self: any(each.family for each in self.model.connections))
    @rule(c=ANY, key=ANY, seconds=st.sampled_from([0, 1, 29, 30, 31, 61]), age=st.integers(1, 2))
    def come_back_late(self, c: int, key: int, seconds: int, age: int) -> None:
        """A token is used, and after a while the one before it, as by a thief or by a process that overslept."""
        self.refresh(c=c, age=0, key=key, asked=None, how="rightly")
        self.later(seconds)
        self.refresh(c=c, age=age, key=key, asked=None, how="rightly")

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
