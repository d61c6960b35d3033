// The official MCP clients for JavaScript: takes {url, api, apikey, token, sdk, calls} on stdin. The app registers itself
// and signs in by OAuth; `token` is that of the person, who consents with supabase-js as the page does.
// Prints the negotiated revision, the names of the tools and what each call came to.
import { AuthClient } from '@supabase/supabase-js';
import { readFileSync } from 'node:fs';

const { url, api, apikey, token, sdk, calls } = JSON.parse(readFileSync(0, 'utf8'));
const isNew = sdk === 'client';
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = isNew
  ? await import('@modelcontextprotocol/client')
  : {
      ...(await import('@modelcontextprotocol/sdk/client/index.js')),
      ...(await import('@modelcontextprotocol/sdk/client/streamableHttp.js')),
      ...(await import('@modelcontextprotocol/sdk/client/auth.js')),
    };

const auth = new AuthClient({ url: `${api}/auth/v1`, headers: { apikey }, persistSession: false, autoRefreshToken: false });
await auth.setSession({ access_token: token, refresh_token: 'none' });

const kept = {};
let code;
const provider = {
  redirectUrl: 'http://127.0.0.1:3999/callback',
  clientMetadata: { client_name: 'Helper', redirect_uris: ['http://127.0.0.1:3999/callback'], token_endpoint_auth_method: 'none' },
  clientInformation: () => kept.registration,
  saveClientInformation: (registration) => void (kept.registration = registration),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  async redirectToAuthorization(address) {
    const redirect = await fetch(address, { redirect: 'manual' });
    const asked = new URL(redirect.headers.get('location')).searchParams.get('authorization_id');
    const shown = await auth.oauth.getAuthorizationDetails(asked);
    if (shown.error) throw shown.error;
    const decided = await auth.oauth.approveAuthorization(asked, { skipBrowserRedirect: true });
    if (decided.error) throw decided.error;
    code = new URL(decided.data.redirect_url).searchParams.get('code');
  },
};

const options = isNew ? { versionNegotiation: { mode: 'auto' } } : {};
const connect = async () => {
  const client = new Client({ name: 'helper', version: '1.0.0' }, options);
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  try {
    await client.connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError) || !code) throw error;
    await transport.finishAuth(code);
    return null;
  }
  return client;
};

const client = (await connect()) ?? (await connect());
const { tools } = await client.listTools();
const came = [];
for (const call of calls) came.push(await client.callTool(call));
const grants = await auth.oauth.listGrants();
await auth.oauth.revokeGrant({ clientId: kept.registration.client_id });
const after = await client.callTool(calls[0]).catch((error) => ({ raised: String(error) }));
const revision = isNew ? client.getNegotiatedProtocolVersion() : '2025-11-25';
console.log(JSON.stringify({ revision, tools: tools.map((tool) => tool.name), came, grants: grants.data, after }));
process.exit(0);
