// The real supabase-js on a private channel: takes {url, anon, token, topic, until, act} on stdin. When it has joined, it
// does `act` ({path, method, body} at the data API, as `actor`), and prints its status and the broadcasts that it got.
import { createClient } from '@supabase/supabase-js';
import { readFileSync } from 'node:fs';

const { url, anon, token, topic, acts = [], actor, until = 0 } = JSON.parse(readFileSync(0, 'utf8'));
const supabase = createClient(url, anon, { accessToken: async () => token });
await supabase.realtime.setAuth();
const received = [];
const status = await new Promise((joined) => {
  supabase.channel(topic, { config: { private: true } })
    .on('broadcast', { event: '*' }, ({ event, payload }) => received.push({ event, payload, at: Date.now() }))
    .subscribe((status) => ['SUBSCRIBED', 'CHANNEL_ERROR', 'TIMED_OUT'].includes(status) && joined(status));
});
const began = Date.now();
for (const { path, method, body } of status === 'SUBSCRIBED' ? acts : []) {
  const headers = { apikey: anon, Authorization: `Bearer ${actor}`, 'Content-Type': 'application/json' };
  const response = await fetch(path.startsWith('http') ? path : `${url}/rest/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
  await response.text();
}
const deadline = Date.now() + 3000;
while (received.length < until && Date.now() < deadline) await new Promise((next) => setTimeout(next, 10));
console.log(JSON.stringify({ status, received: received.map(({ event, payload, at }) => ({ event, payload, ms: at - began })) }));
process.exit(0);
