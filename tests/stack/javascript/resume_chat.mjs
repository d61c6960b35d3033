// A page that is reloaded in the middle of answers: takes {ai, api, token, rest, anon, body, reloads} on stdin. For each
// {id, text, afterMs} it asks, drops the connection and its state that long after the question is stored, loads the
// messages, and resumes as docs/clients.md says. With `word` instead of afterMs it drops them `leftMs` after that word has
// arrived. With `devices` so many pages load and resume at once. Prints what each page shows in the end.
import { readFileSync } from 'node:fs';

const { ai, api, token, rest, anon, body, reloads } = JSON.parse(readFileSync(0, 'utf8'));
const { AbstractChat, DefaultChatTransport } = await import(ai);

class Chat extends AbstractChat {
  constructor(init) {
    super({
      ...init,
      state: {
        status: 'ready',
        error: undefined,
        messages: init.messages,
        pushMessage(message) { this.messages = [...this.messages, message]; },
        popMessage() { this.messages = this.messages.slice(0, -1); },
        replaceMessage(index, message) { this.messages = this.messages.with(index, message); },
        snapshot: (value) => structuredClone(value),
      },
    });
  }
}

const headers = { Authorization: `Bearer ${token}` };
const stored = async (id) => (await fetch(`${rest}/rpc/ui_messages`, {
  method: 'POST', headers: { ...headers, apikey: anon, 'Content-Type': 'application/json' }, body: JSON.stringify({ chat_id: id }),
})).json();

const wait = (ms) => new Promise((next) => setTimeout(next, ms));

async function shown(id) {
  const load = () => stored(id);
  const chat = new Chat({ id, transport: new DefaultChatTransport({ api, headers, body }), messages: await load() });
  if (chat.lastMessage?.role !== 'assistant') {
    await chat.resumeStream();
    if (chat.lastMessage?.role !== 'assistant') chat.messages = await load(); // the answer was stored in between
  }
  return { messages: chat.messages, status: chat.status, error: chat.error?.message ?? null };
}

async function reloaded({ id, text, afterMs, word, leftMs, devices = 1 }) {
  const page = new AbortController();
  const dropping = new DefaultChatTransport({ api, headers, body, fetch: (url, init) => fetch(url, { ...init, signal: page.signal }) });
  const before = new Chat({ id, transport: dropping, messages: [] });
  let isEnded = false;
  const asking = before.sendMessage({ text }).catch(() => {}).then(() => { isEnded = !page.signal.aborted; });
  if (word) {
    const texts = () => (before.lastMessage?.parts ?? []).map((part) => part.text ?? '').join('');
    while (!isEnded && !(before.lastMessage?.role === 'assistant' && texts().includes(word))) await wait(1);
    await wait(leftMs);
  } else {
    while (!(await stored(id)).length) await wait(10);
    await wait(afterMs);
  }
  page.abort();
  await asking;
  const pages = await Promise.all(Array.from({ length: devices }, () => shown(id)));
  return { ...pages[0], pages };
}

console.log(JSON.stringify(await Promise.all(reloads.map(reloaded))));
