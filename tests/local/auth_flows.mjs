// Flows of supabase-js and @supabase/ssr against the local Auth: `node auth_flows.mjs FLOW` prints its result as JSON.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServerClient } from '@supabase/ssr';
import { createClient } from '@supabase/supabase-js';

const { API_URL, API_KEY, SECRET_KEY, CONSOLE } = process.env;
const PAGE = 'http://127.0.0.1:8080/callback?next=%2Fhome';
const password = 'correct horse';
const email = `flow-${crypto.randomUUID().slice(0, 8)}@example.com`;

const client = (key = API_KEY) => createClient(API_URL, key, { auth: { autoRefreshToken: false } });

/** A client of one request of a server-rendered page; the jar is the browser's cookies. */
function server(jar) {
  const getAll = () => [...jar].map(([name, value]) => ({ name, value }));
  const setAll = (cookies) => cookies.forEach(({ name, value }) => (value ? jar.set(name, value) : jar.delete(name)));
  return createServerClient(API_URL, API_KEY, { cookies: { getAll, setAll } });
}

/** The last printed link and code of an address, where Supabase would send a mail. */
async function mail() {
  for (let tries = 0; tries < 100; tries += 1) {
    const found = [...readFileSync(CONSOLE, 'utf8').matchAll(/magic link for (\S+): (\S+) \(code (\d{6})\)/g)];
    const last = found.filter((match) => match[1] === email).at(-1);
    if (last) return { link: last[2], code: last[3] };
    await sleep(50);
  }
  throw new Error('no mail was printed');
}

/** The address to which a link leads. */
async function follow(link) {
  const answer = await fetch(link, { redirect: 'manual' });
  return new URL(answer.headers.get('location'));
}

function checked({ data, error }) {
  if (error) throw error;
  return data;
}

const flows = {
  async password() {
    const own = client();
    checked(await own.auth.signUp({ email, password, options: { data: { nick: 'A' } } }));
    checked(await own.auth.updateUser({ data: { nick: 'B' } }));
    await own.auth.signOut();
    const wrong = await own.auth.signInWithPassword({ email, password: 'wrong' });
    const { user } = checked(await own.auth.signInWithPassword({ email, password }));
    const claims = checked(await own.auth.getClaims());
    return { nick: user.user_metadata.nick, wrong: wrong.error.code, same: claims.claims.sub === user.id };
  },

  async magicLinkWithSsr() {
    const jar = new Map();
    const options = { emailRedirectTo: PAGE };
    checked(await server(jar).auth.signInWithOtp({ email, options }));
    const target = await follow((await mail()).link);
    const stranger = await server(new Map()).auth.exchangeCodeForSession(target.searchParams.get('code'));
    const { session } = checked(await server(jar).auth.exchangeCodeForSession(target.searchParams.get('code')));
    const { user } = checked(await server(jar).auth.getUser());
    const again = await server(jar).auth.exchangeCodeForSession(target.searchParams.get('code'));
    return {
      next: target.searchParams.get('next'),
      fragment: target.hash,
      stranger: Boolean(stranger.error),
      again: Boolean(again.error),
      same: user.email === email && session.user.id === user.id,
    };
  },

  async expiredLinkWithSsr() {
    const jar = new Map();
    checked(await server(jar).auth.signInWithOtp({ email, options: { emailRedirectTo: PAGE } }));
    const { link } = await mail();
    await follow(link);
    const target = await follow(link);
    return { code: target.searchParams.get('error_code'), next: target.searchParams.get('next') };
  },

  async code() {
    const own = client();
    checked(await own.auth.signInWithOtp({ email }));
    const wrong = await own.auth.verifyOtp({ email, token: '000000x', type: 'email' });
    const { user } = checked(await own.auth.verifyOtp({ email, token: (await mail()).code, type: 'email' }));
    return { wrong: wrong.error.code, same: user.email === email, confirmed: Boolean(user.email_confirmed_at) };
  },

  async codeWithSsr() {
    const jar = new Map();
    checked(await server(jar).auth.signInWithOtp({ email }));
    checked(await server(jar).auth.verifyOtp({ email, token: (await mail()).code, type: 'email' }));
    return { same: checked(await server(jar).auth.getUser()).user.email === email };
  },

  async tokenHashWithSsr() {
    const jar = new Map();
    checked(await server(jar).auth.signInWithOtp({ email }));
    const token = new URL((await mail()).link).searchParams.get('token');
    checked(await server(jar).auth.verifyOtp({ token_hash: token, type: 'email' }));
    return { prefix: token.startsWith('pkce_'), same: checked(await server(jar).auth.getUser()).user.email === email };
  },

  async anonymous() {
    const own = client();
    const { user } = checked(await own.auth.signInAnonymously({ options: { data: { from: 'page' } } }));
    checked(await own.auth.updateUser({ email, password }));
    const { session } = checked(await own.auth.refreshSession());
    const later = checked(await client().auth.signInWithPassword({ email, password }));
    return { before: user.is_anonymous, after: session.user.is_anonymous, same: later.user.id === user.id };
  },

  async refreshWithSsr() {
    const jar = new Map();
    const { session } = checked(await server(jar).auth.signUp({ email, password }));
    const next = checked(await server(jar).auth.refreshSession());
    return { rotated: next.session.refresh_token !== session.refresh_token, cookies: jar.size > 0 };
  },

  async signOut() {
    const [first, second, third] = [client(), client(), client()];
    checked(await first.auth.signUp({ email, password }));
    for (const each of [second, third]) checked(await each.auth.signInWithPassword({ email, password }));
    const works = async (each) => !(await each.auth.getUser()).error;
    await first.auth.signOut({ scope: 'others' });
    const afterOthers = [await works(first), await works(second)];
    checked(await second.auth.signInWithPassword({ email, password }));
    await second.auth.signOut({ scope: 'local' });
    const afterLocal = await works(first);
    checked(await third.auth.signInWithPassword({ email, password }));
    await third.auth.signOut();
    return { afterOthers, afterLocal, afterGlobal: await works(first) };
  },

  async recoveryWithSsr() {
    const jar = new Map();
    checked(await client().auth.signUp({ email, password }));
    checked(await server(jar).auth.resetPasswordForEmail(email, { redirectTo: PAGE }));
    const target = await follow((await mail()).link);
    checked(await server(jar).auth.exchangeCodeForSession(target.searchParams.get('code')));
    checked(await server(jar).auth.updateUser({ password: 'a new horse' }));
    const { user } = checked(await client().auth.signInWithPassword({ email, password: 'a new horse' }));
    return { same: user.email === email };
  },

  async admin() {
    const { admin } = client(SECRET_KEY).auth;
    const { user } = checked(await admin.createUser({ email, password, email_confirm: true }));
    checked(await admin.updateUserById(user.id, { app_metadata: { role: 'editor' } }));
    const { properties } = checked(await admin.generateLink({ type: 'magiclink', email }));
    const session = checked(await client().auth.verifyOtp({ token_hash: properties.hashed_token, type: 'magiclink' }));
    const listed = checked(await admin.listUsers({ perPage: 1 })).users.length;
    checked(await admin.deleteUser(user.id));
    const gone = await admin.getUserById(user.id);
    return { role: session.user.app_metadata.role, listed, gone: gone.error.code };
  },
};

console.log(JSON.stringify(await flows[process.argv[2]]()));
