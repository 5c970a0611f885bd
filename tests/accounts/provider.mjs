// An OpenID provider for the tests of signing in upstream: node oidc-provider, whose people sign in at once as whom their
// browser's cookie names. Arguments: port, and JSON with the client's redirect URI and the claims of each account.

import { generateKeyPairSync } from "node:crypto";
import { Provider } from "oidc-provider";

const port = Number(process.argv[2]);
const { redirect_uri, accounts } = JSON.parse(process.argv[3]);
const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });

const provider = new Provider(`http://localhost:${port}`, {
  jwks: { keys: [{ ...key, kid: "one", alg: "RS256", use: "sig" }] },
  cookies: { keys: ["a key for tests on loopback"] },
  scopes: ["openid", "email", "profile", "groups"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
  clients: [
    {
      client_id: "gatelodge",
      client_secret: "the secret of gatelodge & = + %",
      redirect_uris: [redirect_uri],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  pkce: { required: () => true },
  findAccount: async (ctx, id) => (accounts[id] ? { accountId: id, claims: async () => ({ sub: id, ...accounts[id] }) } : undefined),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  features: { devInteractions: { enabled: false } },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  const who = ctx.cookies.get("who");
  let result = { login: { accountId: who, amr: ["pwd"] } };
  if (who === "nobody") {
    result = { error: "access_denied", error_description: "the person said no" };
  } else if (prompt.name === "consent") {
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { consent: { grantId: await grant.save() } };
  }
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
});

provider.listen(port, "127.0.0.1", () => console.log("listening"));
