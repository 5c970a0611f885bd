"""The leaves of Setup's tree, in the order of the tree: what Quick Find knows, and who may see what."""

from gatelodge.core.permissions import (
    APPROVE_CALLS,
    EDIT_POLICIES,
    MANAGE_APPS,
    MANAGE_MCP_SERVERS,
    MANAGE_ORG,
    MANAGE_USERS,
)
from gatelodge.setup.finding import Page

APPS = Page(
    path="/setup/apps",
    title="External Client App Manager",
    tab="Apps and access",
    group="External Client Apps",
    words="connected app oauth client redirect uri callback url consumer key client id",
    permissions=(MANAGE_APPS, EDIT_POLICIES),
    help="An External Client App is a third-party client that may ask your users for access.\n"
    "Its Settings say what it is, its Policies who may use it; the consumer key is what it calls its client id.",
)
SERVERS = Page(
    path="/setup/mcp-servers",
    title="MCP Servers",
    tab="MCP servers",
    group="Integrations",
    words="sobject-reads tools resource server url",
    permissions=(MANAGE_MCP_SERVERS,),
    help="An MCP server is something that apps may call once it is active.\n"
    "Copy its URL into the client; the app's Policies say which servers and tools it may use.",
)
USERS = Page(
    path="/setup/users",
    title="Users",
    tab="Users",
    group="Users",
    words="people permission set profile accounts",
    permissions=(MANAGE_USERS,),
    help="Users sign in and say yes or no to apps.\n"
    "What each may do is the sum of their permission sets. Deactivating a user ends their sessions and connections.",
)
SETS = Page(
    path="/setup/permission-sets",
    title="Permission Sets",
    tab="",
    group="Users",
    words="profile role access object field row level security admin rights grant",
    permissions=(MANAGE_USERS,),
    help="A permission set says what its users may do in Setup, and which objects, fields and rows they may read or change.\n"
    "Permission sets only ever add. A change counts at once, for everybody who has the set.",
)
USAGE = Page(
    path="/setup/oauth-usage",
    title="OAuth Usage",
    tab="",
    group="External Client Apps",
    words="tokens connections revoke block sign out everybody consent grants",
    permissions=(MANAGE_APPS, EDIT_POLICIES),
    help="Which apps act for your users now.\n"
    "Revoking ends what was allowed, everywhere, within a second; the app has to ask again. A blocked app may not even ask.",
)
APP_SETTINGS = Page(
    path="/setup/app-settings",
    title="External Client App Settings",
    tab="",
    group="External Client Apps",
    words="org wide rules allow creation scratch opaque tokens admin approved unsafe options block all",
    permissions=(MANAGE_ORG,),
    help="What holds for every app of the org, whatever its own Settings and Policies say.",
)
ORG_SESSIONS = Page(
    path="/setup/org-sessions",
    title="Sessions",
    tab="",
    group="Security",
    words="session management signed in browsers sign out everybody end",
    permissions=(MANAGE_USERS,),
    help="Every browser that is signed in to this org. Ending a session signs that browser out; apps keep what they were"
    " allowed.",
)
KEYS = Page(
    path="/setup/keys",
    title="Keys",
    tab="",
    group="Security",
    words="signing key certificate jwks json web key set rotate rotation es256 rs256 algorithm kid",
    permissions=(MANAGE_ORG,),
    help="Tokens are signed with the org's newest key. A fresh one is published before it signs, so that nobody's copy of the"
    " keys lacks it; an old one stays until its last token is over.",
)
PROVIDERS = Page(
    path="/setup/identity-providers",
    title="Identity Providers",
    tab="",
    group="Security",
    words="single sign-on sso openid connect oidc auth provider okta entra google keycloak connect sign-in",
    permissions=(MANAGE_ORG,),
    help="OpenID providers whose users may sign in here. Their groups can give permission sets.\n"
    "Removing a provider ends the sessions of those who came by it.",
)
ORG = Page(
    path="/setup/org",
    title="Org Settings",
    tab="",
    group="Company",
    words="company information org name label refresh window trusted ip ranges network access signing algorithm es256"
    " rs256 session lifetime timeout idle time zone",
    permissions=(MANAGE_ORG,),
    help="What holds for the whole org: its name, the networks it trusts, and how its tokens are signed.",
)
CONNECTIONS = Page(
    path="/setup/connections",
    title="My Connections",
    tab="",
    group="My Account",
    words="authorized apps oauth usage revoke consent third party",
    permissions=(),
    help="The apps that you allowed to work as you.\n"
    "Revoking one ends everything it holds, everywhere, within a second.",
)
SECOND_FACTORS = Page(
    path="/setup/second-factors",
    title="Second Factors",
    tab="",
    group="My Account",
    words="mfa 2fa totp authenticator app passkey security key recovery codes",
    permissions=(),
    help="A second factor proves that it is you when somebody else has your password.\n"
    "A passkey is the easiest; an authenticator app works everywhere. Keep the recovery codes somewhere else.",
)
SESSIONS = Page(
    path="/setup/sessions",
    title="My Sessions",
    tab="",
    group="My Account",
    words="signed in browsers devices sign out everywhere",
    permissions=(),
    help="Every browser in which you are signed in. End those that you don't know, then change your password.",
)
PASSWORD = Page(
    path="/setup/password",
    title="Change Password",
    tab="",
    group="My Account",
    words="credentials reset",
    permissions=(),
    help="A long sentence of your own is stronger than a short word with signs in it.",
)
PREFERENCES = Page(
    path="/setup/preferences",
    title="Language & Time Zone",
    tab="",
    group="My Account",
    words="locale german deutsch english theme dark light colour color scheme appearance display clock",
    permissions=(),
    help="The language of every page for you, the time zone of the times on them, and their colours.",
)
SCOPES = Page(
    path="/setup/scopes",
    title="OAuth Custom Scopes",
    tab="",
    group="External Client Apps",
    words="scope permission consent step up insufficient_scope",
    permissions=(MANAGE_APPS,),
    help="Words of your own for what apps may do, beyond Access MCP servers.\n"
    "An app is given them in its Settings, and a tool can require them.",
)
APPROVALS = Page(
    path="/setup/approvals",
    title="Approvals",
    tab="",
    group="Integrations",
    words="human in the loop waiting calls approve decline four eyes tools ask a person first",
    permissions=(APPROVE_CALLS,),
    help="Calls of tools that ask a person first, with the exact arguments.\n"
    "A yes is for that one call, once and for a time; who may say it is set at the MCP server.",
)
MY_APPROVALS = Page(
    path="/setup/my-approvals",
    title="My Approvals",
    tab="",
    group="My Account",
    words="waiting calls approve decline tools ask first confirm",
    permissions=(),
    help="Calls that your apps want to make and that wait for a person.\nApprove only what you asked an app to do.",
)
AUDIT = Page(
    path="/setup/audit",
    title="Setup Audit Trail",
    tab="",
    group="Security",
    words="history log who changed events hash chain verify tamper export retention records of calls",
    permissions=(MANAGE_ORG,),
    help="Every change of Setup, of users and of apps: who, when, and from what to what.\n"
    "Each event is chained to the one before it; checking the chain finds whatever was changed or removed afterwards.",
)
SIGN_INS = Page(
    path="/setup/sign-ins",
    title="Sign-in History",
    tab="",
    group="Security",
    words="login history failed logins addresses sign ins",
    permissions=(MANAGE_USERS,),
    help="Who signed in, where from and how, and what failed with its reason.\n"
    "A name that no user has isn't kept: people type passwords into the wrong field.",
)
MY_SIGN_INS = Page(
    path="/setup/my-sign-ins",
    title="My Sign-ins",
    tab="",
    group="My Account",
    words="login history failed logins addresses",
    permissions=(),
    help="When and from where you signed in, and where somebody failed to as you.",
)
TREE = (
    APPS,
    SCOPES,
    USAGE,
    APP_SETTINGS,
    SERVERS,
    APPROVALS,
    USERS,
    SETS,
    ORG,
    PROVIDERS,
    ORG_SESSIONS,
    KEYS,
    AUDIT,
    SIGN_INS,
    CONNECTIONS,
    MY_APPROVALS,
    SECOND_FACTORS,
    SESSIONS,
    MY_SIGN_INS,
    PASSWORD,
    PREFERENCES,
)
