"""The leaves of Setup's tree that show what is written down."""

from gatelodge.core.permissions import MANAGE_ORG, MANAGE_USERS
from gatelodge.setup.finding import Page

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
