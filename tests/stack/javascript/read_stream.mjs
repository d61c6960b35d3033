// One answer by the transport and the parser alone: takes {api, token, body, text} on stdin, prints every state that
// the message goes through (parts only by their type and state) and the last one whole.
import { DefaultChatTransport, readUIMessageStream } from 'ai';
import { readFileSync } from 'node:fs';

const { api, token, body, text } = JSON.parse(readFileSync(0, 'utf8'));
const transport = new DefaultChatTransport({ api, headers: { Authorization: `Bearer ${token}` }, body });
const stream = await transport.sendMessages({
  chatId: crypto.randomUUID(),
  trigger: 'submit-message',
  messageId: undefined,
  abortSignal: undefined,
  messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text }] }],
});
const errors = [];
const states = [];
let last = null;
for await (const message of readUIMessageStream({ stream, onError: (error) => errors.push(error.message) })) {
  last = structuredClone(message);
  states.push(message.parts.map((part) => [part.type, part.state ?? null]));
}
console.log(JSON.stringify({ last, states, errors }));
