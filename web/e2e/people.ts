/** Users of the running stack, made over its Auth API as a client makes them. */

const { SUPABASE_URL = '', SUPABASE_ANON_KEY = '', SUPABASE_SERVICE_KEY = '' } = process.env;

export interface Person {
  id: string;
  email: string;
  token: string;
  session: object;
}

let number = 0;

async function auth(path: string, method: string, body: object, key = SUPABASE_ANON_KEY): Promise<Record<string, never>> {
  const headers = { apikey: key, Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
  const response = await fetch(`${SUPABASE_URL}/auth/v1/${path}`, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as Record<string, never>;
}

function person(session: { access_token: string; user: { id: string; email: string } }): Person {
  return { id: session.user.id, email: session.user.email, token: session.access_token, session };
}

/** A new user, signed in. */
export async function signUp(email = `${process.pid}-${Date.now()}-${number++}@example.com`): Promise<Person> {
  return person((await auth('signup', 'POST', { email, password: 'a-password' })) as never);
}

/** A new admin. The role is in the token, so it is taken afterwards. */
export async function newAdmin(address?: string): Promise<Person> {
  const { id, email } = await signUp(address);
  await auth(`admin/users/${id}`, 'PUT', { app_metadata: { role: 'admin' } }, SUPABASE_SERVICE_KEY);
  return person((await auth('token?grant_type=password', 'POST', { email, password: 'a-password' })) as never);
}

/** A turn over the API; its conversation's id. */
export async function ask(by: Person, body: object): Promise<string> {
  const headers = { Authorization: `Bearer ${by.token}`, 'Content-Type': 'application/json' };
  const response = await fetch(process.env.CHAT_URL!, { method: 'POST', headers, body: JSON.stringify({ stream: false, ...body }) });
  if (!response.ok) throw new Error(await response.text());
  return ((await response.json()) as { conversation_id: string }).conversation_id;
}

/** The path of the consent page for a new app with this name, which wants its answer at `/callback` of the page. */
export async function askForAccess(name = 'Helper'): Promise<string> {
  const callback = `${process.env.PAGE_URL}/callback`;
  const app = (await auth('oauth/clients/register', 'POST', { client_name: name, redirect_uris: [callback] })) as unknown as { client_id: string };
  const query = new URLSearchParams({ client_id: app.client_id, redirect_uri: callback, response_type: 'code', state: 'kept', code_challenge: 'c'.repeat(43), code_challenge_method: 'S256' });
  const redirect = await fetch(`${SUPABASE_URL}/auth/v1/oauth/authorize?${query}`, { redirect: 'manual' });
  const { pathname, search } = new URL(redirect.headers.get('location')!);
  return pathname + search;
}

/** A request to the data API as a user, or as the service. */
export async function rest(path: string, options: { by?: Person; method?: string; body?: unknown } = {}): Promise<unknown> {
  const headers: Record<string, string> = { apikey: options.by ? SUPABASE_ANON_KEY : SUPABASE_SERVICE_KEY, 'Content-Type': 'application/json' };
  if (options.by) headers.Authorization = `Bearer ${options.by.token}`;
  const response = await fetch(`${SUPABASE_URL}/rest/v1/${path}`, { method: options.method ?? 'GET', headers, body: options.body === undefined ? undefined : JSON.stringify(options.body) });
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text ? JSON.parse(text) : null;
}
