"""An app as the five files that ``sf project deploy`` takes (Metadata API, types ExternalClientApplication and
ExtlClntApp...). Elements stand in the order of the alphabet, as in files that were retrieved.

What one org alone knows is left out, so that the files can be deployed anywhere: ``consumerKey``, ``consumerSecret``,
``oauthLink`` and ``orgScopedExternalApp`` are made by the org they are deployed to.
"""

import msgspec

from gatelodge.core import addresses, scopes
from gatelodge.core.apps import policies as app_policies
from gatelodge.core.apps.policies import AFTER, IF_UNUSED, Policies
from gatelodge.core.apps.settings import Settings
from gatelodge.metadata import xml
from gatelodge.metadata.xml import Value

SCOPE_WORDS = {
    scopes.ID: "Basic",
    scopes.REFRESH_TOKEN: "RefreshToken",
    scopes.OPENID: "OpenID",
    scopes.PROFILE: "Profile",
    scopes.EMAIL: "Email",
    scopes.MCP_API: "MCP",
}
"""The word of each scope in metadata, in the order of the platform's own list."""
JWT_MINUTES = (1, 5, 10, 15, 30, 60, 90, 120, 240, 480, 720)
"""Lifetimes of an access token that the platform offers."""


class File(msgspec.Struct, frozen=True):
    """One file in source format: its path below the package folder, and its text."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """The path's last part."""
        return self.path.rpartition("/")[2]


class Written(msgspec.Struct, frozen=True):
    """An app's files, and the labels of what the app has and files can't say."""

    files: tuple[File, ...]
    left_out: tuple[str, ...]


def write(settings: Settings, policies: Policies) -> Written:
    """The files of an app, the global OAuth file second: it holds the callback URLs, and on the platform it must not be
    kept in source control once it has been retrieved with its key.
    """
    name = settings.api_name
    application = File(f"externalClientApps/{name}.eca-meta.xml", _application(settings))
    app_policy = File(f"extlClntAppPolicies/{name}_plcy.ecaPlcy-meta.xml", _app_policies(settings, policies))
    if not settings.oauth_enabled and not settings.callback_urls:
        return Written((application, app_policy), ())
    oauth = (
        File(f"extlClntAppGlobalOauthSets/{name}_glbloauth.ecaGlblOauth-meta.xml", _global_oauth(settings)),
        File(f"extlClntAppOauthSettings/{name}_oauth.ecaOauth-meta.xml", _oauth(settings, policies)),
        File(f"extlClntAppOauthPolicies/{name}_oauthPlcy.ecaOauthPlcy-meta.xml", _oauth_policies(settings, policies)),
    )
    return Written((application, *oauth, app_policy), left_out(settings, policies))


def left_out(settings: Settings, policies: Policies) -> tuple[str, ...]:
    """The labels of what this app has and the platform's files have no word for."""
    named = (
        ("mcp_servers", policies.mcp_servers is not None),
        ("default_mcp_server", bool(policies.default_mcp_server)),
        ("access_token_minutes", policies.access_token_minutes not in JWT_MINUTES),
    )
    found = [app_policies.LABELS[name] for name, is_so in named if is_so]
    if settings.access_token_parameter:
        found.append("Issue access tokens in access_token parameter")
    if settings.public_keys and "BEGIN CERTIFICATE" not in settings.public_keys:
        found.append("JWK Set")
    if len(settings.logout_urls) > 1:
        found.append("All but the first Single Logout URL")
    return tuple(found)


def _some(elements: list[tuple[str, Value]]) -> list[tuple[str, Value]]:
    """Without the texts that are empty: an absent element is what the platform writes for them."""
    return [(name, value) for name, value in elements if value != ""]


def _application(settings: Settings) -> str:
    elements: list[tuple[str, Value]] = [
        ("contactEmail", settings.contact_email),
        ("contactPhone", settings.contact_phone),
        ("description", settings.description),
        ("distributionState", settings.distribution_state),
        ("iconUrl", settings.icon_url),
        ("infoUrl", settings.info_url),
        ("isProtected", False),
        ("label", settings.label),
        ("logoUrl", settings.logo_url),
    ]
    return xml.write("ExternalClientApplication", _some(elements))


def _global_oauth(settings: Settings) -> str:
    has_certificate = "BEGIN CERTIFICATE" in settings.public_keys
    elements: list[tuple[str, Value]] = [
        ("callbackUrl", "\n".join(settings.callback_urls)),
        ("certificate", settings.public_keys if has_certificate else ""),
        ("externalClientApplication", settings.api_name),
        ("isClientCredentialsFlowEnabled", settings.client_credentials_flow),
        ("isCodeCredFlowEnabled", settings.code_credentials_flow),
        ("isCodeCredPostOnly", settings.code_credentials_flow),  # this flow takes no credentials in a URL here
        ("isConsumerSecretOptional", not settings.require_secret_for_web_server_flow),
        ("isDeviceFlowEnabled", settings.device_flow),
        ("isIntrospectAllTokens", settings.introspect_all_tokens),
        ("isNamedUserJwtEnabled", settings.jwt_access_tokens),
        ("isPkceRequired", settings.require_pkce),
        ("isRefreshTokenRotationEnabled", settings.refresh_token_rotation),
        ("isSecretRequiredForRefreshToken", settings.require_secret_for_refresh_token_flow),
        ("isSecretRequiredForTokenExchange", True),  # as it always is here
        ("isTokenExchangeEnabled", settings.token_exchange_flow),
        ("label", f"{settings.api_name}_glbloauth"),
        ("shouldRotateConsumerKey", False),
        ("shouldRotateConsumerSecret", False),
    ]
    return xml.write("ExtlClntAppGlobalOauthSettings", _some(elements))


def _oauth(settings: Settings, policies: Policies) -> str:
    words = [word for name, word in SCOPE_WORDS.items() if name in settings.scopes]
    ranges = [addresses.parse(text) for text in policies.trusted_ranges]
    elements: list[tuple[str, Value]] = [
        ("commaSeparatedOauthScopes", ", ".join(words)),
        ("externalClientApplication", settings.api_name),
        ("isFirstPartyAppEnabled", False),
        ("label", f"{settings.api_name}_oauth"),
        ("singleLogoutUrl", settings.logout_urls[0] if settings.logout_urls else ""),
        *(("trustedIpRanges", [("endIpAddress", str(end)), ("startIpAddress", str(start))]) for start, end in ranges),
    ]
    return xml.write("ExtlClntAppOauthSettings", _some(elements))


def _oauth_policies(settings: Settings, policies: Policies) -> str:
    is_timed = policies.refresh_token_policy in (AFTER, IF_UNUSED)
    attributes = app_policies.attributes(policies)
    elements: list[tuple[str, Value]] = [
        ("clientCredentialsFlowUser", policies.run_as),
        ("commaSeparatedPermissionSet", ", ".join(policies.permission_sets)),
        *(("customAttributes", [("formula", source), ("key", key)]) for key, source in attributes.items()),
        ("externalClientApplication", settings.api_name),
        ("ipRelaxationPolicyType", policies.ip_relaxation),
        ("isClientCredentialsFlowEnabled", policies.client_credentials),
        ("isGuestCodeCredFlowEnabled", False),
        ("isTokenExchangeFlowEnabled", policies.token_exchange),
        ("label", f"{settings.api_name}_oauthPlcy"),
        ("namedUserJwtSessionTimeoutType", "Custom"),
        ("namedUserJwtTimeout", max(each for each in JWT_MINUTES if each <= policies.access_token_minutes)),
        ("permittedUsersPolicyType", policies.permitted_users),
        ("policyAction", policies.below_level),
        ("refreshTokenPolicyType", policies.refresh_token_policy),
        ("refreshTokenValidityPeriod", policies.refresh_token_period if is_timed else ""),
        ("refreshTokenValidityUnit", policies.refresh_token_unit if is_timed else ""),
        ("requiredSessionLevel", policies.session_level),
    ]
    return xml.write("ExtlClntAppOauthConfigurablePolicies", _some(elements))


def _app_policies(settings: Settings, policies: Policies) -> str:
    elements: list[tuple[str, Value]] = [
        ("externalClientApplication", settings.api_name),
        ("isEnabled", policies.is_enabled),
        ("isOauthPluginEnabled", settings.oauth_enabled),
        ("label", f"{settings.api_name}_plcy"),
        ("startPage", "None"),
    ]
    return xml.write("ExtlClntAppConfigurablePolicies", elements)
