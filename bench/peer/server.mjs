// node oidc-provider, set up for the same flows: a public client with PKCE, ES256 JWT access tokens for one resource,
// refresh tokens that rotate; a confidential client that works by its own secret and asks about tokens. Whoever comes is
// signed in and has consented after the first, unmeasured request.

import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";
import { adapterFor } from "./adapter.mjs";

const [port, path] = process.argv.slice(2);
const issuer = `http://localhost:${port}`;
const resource = `${issuer}/api`;
const opaque = `${issuer}/opaque`; // its introspection refuses JWTs, so it is asked about tokens for this one
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });

const provider = new Provider(issuer, {
  adapter: adapterFor(path),
  jwks: { keys: [{ ...key, kid: "one", alg: "ES256", use: "sig" }] },
  cookies: { keys: ["a key for a benchmark on loopback"] },
  scopes: ["openid", "api"],
  clients: [
    {
      client_id: "bench",
      token_endpoint_auth_method: "none",
      redirect_uris: ["https://client.example/callback"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      id_token_signed_response_alg: "ES256",
    },
    {
      client_id: "confidential",
      client_secret: "a secret for a benchmark on loopback",
      token_endpoint_auth_method: "client_secret_post",
      redirect_uris: [],
      grant_types: ["client_credentials"],
      response_types: [],
      id_token_signed_response_alg: "ES256",
    },
  ],
  pkce: { required: () => true },
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: 600, AuthorizationCode: 60, RefreshToken: 30 * 86400, Session: 12 * 3600, Grant: 30 * 86400, Interaction: 600 },
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => resource,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (ctx, indicator) => ({
        scope: "api",
        accessTokenFormat: indicator === opaque ? "opaque" : "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
});

// The pages of sign-in and consent, answered at once.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  let result = { login: { accountId: "user" } };
  if (prompt.name === "consent") {
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope("api");
    grant.addResourceScope(params.resource, "api");
    result = { consent: { grantId: await grant.save() } };
  }
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
});

provider.listen(Number(port), "127.0.0.1");
