"""An app as Salesforce's metadata files."""

import string
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.apps.policies import Policies
from gatelodge.core.apps.settings import Settings
from gatelodge.metadata import writing
from gatelodge.metadata.xml import FORBIDDEN, NAMESPACE
from tests.generated import MANY
from tests.requirements import requirement

CLAUDE = Settings(
    label="Claude MCP",
    api_name="Claude_MCP",
    contact_email="robin@acme.example",
    description="Reads records & <reports>.",
    callback_urls=("https://claude.ai/api/mcp/auth_callback", "http://localhost:8080/callback"),
    scopes=("mcp_api", "refresh_token"),
)
GLOBAL = """<?xml version="1.0" encoding="UTF-8"?>
<ExtlClntAppGlobalOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata">
    <callbackUrl>https://claude.ai/api/mcp/auth_callback
http://localhost:8080/callback</callbackUrl>
    <externalClientApplication>Claude_MCP</externalClientApplication>
    <isClientCredentialsFlowEnabled>false</isClientCredentialsFlowEnabled>
    <isCodeCredFlowEnabled>false</isCodeCredFlowEnabled>
    <isCodeCredPostOnly>false</isCodeCredPostOnly>
    <isConsumerSecretOptional>true</isConsumerSecretOptional>
    <isDeviceFlowEnabled>false</isDeviceFlowEnabled>
    <isIntrospectAllTokens>false</isIntrospectAllTokens>
    <isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>
    <isPkceRequired>true</isPkceRequired>
    <isRefreshTokenRotationEnabled>true</isRefreshTokenRotationEnabled>
    <isSecretRequiredForRefreshToken>false</isSecretRequiredForRefreshToken>
    <isSecretRequiredForTokenExchange>true</isSecretRequiredForTokenExchange>
    <isTokenExchangeEnabled>false</isTokenExchangeEnabled>
    <label>Claude_MCP_glbloauth</label>
    <shouldRotateConsumerKey>false</shouldRotateConsumerKey>
    <shouldRotateConsumerSecret>false</shouldRotateConsumerSecret>
</ExtlClntAppGlobalOauthSettings>
"""
POLICIES = """<?xml version="1.0" encoding="UTF-8"?>
<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata">
    <commaSeparatedPermissionSet>AI_Pilots</commaSeparatedPermissionSet>
    <customAttributes>
        <formula>Organization.Name</formula>
        <key>department</key>
    </customAttributes>
    <externalClientApplication>Claude_MCP</externalClientApplication>
    <ipRelaxationPolicyType>Enforce</ipRelaxationPolicyType>
    <isClientCredentialsFlowEnabled>false</isClientCredentialsFlowEnabled>
    <isGuestCodeCredFlowEnabled>false</isGuestCodeCredFlowEnabled>
    <isTokenExchangeFlowEnabled>false</isTokenExchangeFlowEnabled>
    <label>Claude_MCP_oauthPlcy</label>
    <namedUserJwtSessionTimeoutType>Custom</namedUserJwtSessionTimeoutType>
    <namedUserJwtTimeout>10</namedUserJwtTimeout>
    <permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>
    <policyAction>StepUpMFA</policyAction>
    <refreshTokenPolicyType>SpecificInactivity</refreshTokenPolicyType>
    <refreshTokenValidityPeriod>30</refreshTokenValidityPeriod>
    <refreshTokenValidityUnit>Days</refreshTokenValidityUnit>
    <requiredSessionLevel>STANDARD</requiredSessionLevel>
</ExtlClntAppOauthConfigurablePolicies>
"""


@requirement("metadata:files")
def test_an_app_is_five_files_in_the_platforms_folders_with_its_own_words():
    policies = Policies(
        permitted_users="AdminApprovedPreAuthorized",
        permission_sets=("AI_Pilots",),
        custom_attributes=("department = Organization.Name",),
        trusted_ranges=("198.51.100.0/24",),
    )
    files = {file.path: file.text for file in writing.write(CLAUDE, policies).files}
    assert list(files) == [
        "externalClientApps/Claude_MCP.eca-meta.xml",
        "extlClntAppGlobalOauthSets/Claude_MCP_glbloauth.ecaGlblOauth-meta.xml",
        "extlClntAppOauthSettings/Claude_MCP_oauth.ecaOauth-meta.xml",
        "extlClntAppOauthPolicies/Claude_MCP_oauthPlcy.ecaOauthPlcy-meta.xml",
        "extlClntAppPolicies/Claude_MCP_plcy.ecaPlcy-meta.xml",
    ]
    assert files["extlClntAppGlobalOauthSets/Claude_MCP_glbloauth.ecaGlblOauth-meta.xml"] == GLOBAL
    assert files["extlClntAppOauthPolicies/Claude_MCP_oauthPlcy.ecaOauthPlcy-meta.xml"] == POLICIES
    oauth = files["extlClntAppOauthSettings/Claude_MCP_oauth.ecaOauth-meta.xml"]
    assert "<commaSeparatedOauthScopes>RefreshToken, MCP</commaSeparatedOauthScopes>" in oauth
    assert "<endIpAddress>198.51.100.255</endIpAddress>\n        <startIpAddress>198.51.100.0</startIpAddress>" in oauth
    application = files["externalClientApps/Claude_MCP.eca-meta.xml"]
    assert "<description>Reads records &amp; &lt;reports&gt;.</description>" in application


@requirement("metadata:files")
def test_elements_stand_by_the_alphabet_and_nothing_of_one_org_is_written():
    for file in writing.write(CLAUDE, Policies()).files:
        names = [element.tag.removeprefix(f"{{{NAMESPACE}}}") for element in ET.fromstring(file.text)]
        assert names == sorted(names, key=str.lower), file.path
        assert not {"consumerKey", "consumerSecret", "oauthLink", "orgScopedExternalApp"} & set(names)


@pytest.mark.parametrize(
    ("settings", "policies", "label"),
    [
        ({"access_token_parameter": True}, {}, "Issue access tokens in access_token parameter"),
        ({"public_keys": '{"keys": []}'}, {}, "JWK Set"),
        ({"logout_urls": ("https://a.example", "https://b.example")}, {}, "All but the first Single Logout URL"),
        ({}, {"mcp_servers": ("sobject-reads",)}, "MCP servers this app may use"),
        ({}, {"access_token_minutes": 7}, "Access token lifetime in minutes"),
    ],
)
@requirement("metadata:files")
def test_what_files_have_no_word_for_is_named(settings: dict[str, object], policies: dict[str, object], label: str):
    written = writing.write(
        msgspec.structs.replace(CLAUDE, **settings), msgspec.structs.replace(Policies(), **policies)
    )
    assert label in written.left_out
    assert label not in writing.write(CLAUDE, Policies()).left_out


@MANY
@requirement("metadata:any-text")
@given(
    label=st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    description=st.text(st.characters(exclude_categories=["Cs"]), max_size=255),
    api_name=st.text(string.ascii_letters, min_size=1, max_size=20),
)
def test_any_text_is_written_so_that_it_reads_back_the_same(label: str, description: str, api_name: str):
    settings = msgspec.structs.replace(CLAUDE, label=label, description=description, api_name=api_name)
    first = writing.write(settings, Policies())
    assert first == writing.write(settings, Policies())
    read = {
        element.tag.removeprefix(f"{{{NAMESPACE}}}"): element.text for element in ET.fromstring(first.files[0].text)
    }
    for name, text in (("label", label), ("description", description)):
        kept = FORBIDDEN.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
        assert (read.get(name) or "") == kept
