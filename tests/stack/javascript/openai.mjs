// OpenAI's own SDK for JavaScript: takes {base, token, calls: [{model, stream, list, ...}]} on stdin, prints what
// each came to, or the class, status and code of the exception it raised.
import OpenAI from 'openai';
import { readFileSync } from 'node:fs';

const { base, token, calls } = JSON.parse(readFileSync(0, 'utf8'));
const client = new OpenAI({ baseURL: base, apiKey: token, maxRetries: 0 });

async function streamed(asked) {
  const words = [], turn = {};
  try {
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
      const choice = chunk.choices[0];
      words.push(choice?.delta?.content ?? '');
      Object.assign(turn, choice?.finish_reason && { reason: choice.finish_reason }, chunk.usage && { usage: chunk.usage });
    }
  } catch (error) {
    return { ...turn, text: words.join(''), ...raised(error) };
  }
  return { ...turn, text: words.join('') };
}

async function answered({ how, ...asked }) {
  if (how === 'list') return (await client.models.list()).data.map((model) => model.id);
  if (how === 'stream') return streamed(asked);
  if (how === 'gather') return (await client.chat.completions.stream(asked).finalChatCompletion()).choices[0];
  return (await client.chat.completions.create(asked)).choices[0];
}

const raised = (error) => ({ raised: error.constructor.name, status: error.status ?? null, code: error.code ?? null });

const came = [];
for (const call of calls) {
  came.push(await answered(call).catch(raised));
}
console.log(JSON.stringify(came));
