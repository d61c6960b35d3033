// The AI SDK's own chat, as its hooks drive it: takes {ai, api, token, id, body, messages, steps} on stdin, prints what a
// frontend would show after each step: {send, stop?}, {send, edit: place} or {regenerate: true or a place}.
import { readFileSync } from 'node:fs';

const { ai, api, token, id, body, messages = [], steps } = JSON.parse(readFileSync(0, 'utf8'));
const { AbstractChat, DefaultChatTransport } = await import(ai);

class Chat extends AbstractChat {
  constructor(init, messages) {
    super({
      ...init,
      messages,
      state: {
        status: 'ready',
        error: undefined,
        messages,
        pushMessage(message) { this.messages = [...this.messages, message]; },
        popMessage() { this.messages = this.messages.slice(0, -1); },
        replaceMessage(index, message) { this.messages = this.messages.with(index, message); },
        snapshot: (value) => structuredClone(value),
      },
    });
  }
}

const finished = [];
const transport = new DefaultChatTransport({ api, headers: { Authorization: `Bearer ${token}` }, body });
const chat = new Chat({ id, transport, onFinish: ({ isAbort, isError, finishReason }) => finished.push({ isAbort, isError, finishReason }) }, messages);

const saidSoFar = () => (chat.lastMessage?.role === 'assistant' ? chat.lastMessage.parts : []).some((part) => part.text);
const shown = [];
for (const step of steps) {
  const running = 'send' in step
    ? chat.sendMessage({ text: step.send, messageId: chat.messages[step.edit]?.id }, { body: step.body })
    : chat.regenerate({ messageId: chat.messages[step.regenerate]?.id, body: step.body });
  if (step.stop) {
    while (!saidSoFar()) await new Promise((next) => setImmediate(next));
    await chat.stop();
  }
  await running;
  shown.push({ messages: chat.messages, status: chat.status, error: chat.error?.message ?? null, finished: finished.at(-1) ?? null });
}
console.log(JSON.stringify(shown));
