// AI SDK 7 with OpenAI's and Anthropic's provider, and Anthropic's own SDK: takes {url, token, sdk, calls} on stdin.
// Each call is {model, how, image?}; how is whole, stream, tools or schema. Prints {text, calls, usage} for each.
import { readFileSync } from 'node:fs';

const { url, token, sdk, calls } = JSON.parse(readFileSync(0, 'utf8'));
const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };

async function withAi({ model, how, image }) {
  const ai = await import('ai7');
  const options = { baseURL: `${url}/v1`, apiKey: token };
  const provider = sdk === 'ai-openai' ? (await import('@ai-sdk/openai')).createOpenAI(options) : (await import('@ai-sdk/anthropic')).createAnthropic(options);
  const content = [{ type: 'text', text: 'Which city?' }];
  if (image) content.push({ type: 'file', mediaType: 'image/png', data: image });
  const asked = { model: provider(model), messages: [{ role: 'user', content }], maxRetries: 0 };
  if (how === 'tools') asked.tools = { look: ai.tool({ description: 'Looks.', inputSchema: ai.jsonSchema(schema) }) };
  if (how === 'schema') asked.output = ai.Output.object({ schema: ai.jsonSchema({ type: 'object' }) });
  const result = how === 'stream' ? ai.streamText(asked) : await ai.generateText(asked);
  let text = '';
  if (how === 'stream') for await (const piece of result.textStream) text += piece;
  const usage = await result.usage;
  return {
    text: how === 'stream' ? text : result.text,
    output: how === 'schema' ? result.output : null,
    calls: (await result.toolCalls).map((call) => [call.toolName, call.input]),
    usage: [usage.inputTokens, usage.outputTokens],
  };
}

async function withAnthropic({ model, how, image }) {
  const { default: Anthropic } = await import('@anthropic-ai/sdk');
  const client = new Anthropic({ baseURL: url, apiKey: token, maxRetries: 0 });
  const content = [{ type: 'text', text: 'Which city?' }];
  if (image) content.push({ type: 'image', source: { type: 'base64', media_type: 'image/png', data: image } });
  const asked = { model, max_tokens: 500, messages: [{ role: 'user', content }] };
  if (how === 'tools') asked.tools = [{ name: 'look', description: 'Looks.', input_schema: schema }];
  if (how === 'schema') asked.output_config = { format: { type: 'json_schema', schema: { type: 'object', additionalProperties: false } } };
  const message = how === 'stream' ? await client.messages.stream(asked).finalMessage() : await client.messages.create(asked);
  const text = message.content.map((block) => block.text ?? '').join('');
  const { input_tokens, cache_read_input_tokens, output_tokens } = message.usage;
  return {
    text,
    output: how === 'schema' ? JSON.parse(text) : null,
    calls: message.content.filter((block) => block.type === 'tool_use').map((block) => [block.name, block.input]),
    usage: [input_tokens + cache_read_input_tokens, output_tokens],
  };
}

const results = [];
for (const call of calls) results.push(await (sdk === 'anthropic' ? withAnthropic(call) : withAi(call)));
console.log(JSON.stringify(results));
