// A client of the types that openapi-typescript makes of the document: it compiles, and completes two chats.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };
const [url, token, model] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

const question: components["schemas"]["UserMessage"] = { role: "user", content: "one two three" };
const turn = await client.POST("/", { body: { message: "one two three", model, stream: false } });
const completion = await client.POST("/v1/chat/completions", { body: { model, messages: [question] } });
const refused = await client.POST("/v1/chat/completions", { body: { model: "openai:no-such-model", messages: [question] } });
const models = await client.GET("/v1/models");
if (!turn.data || !("message" in turn.data)) throw new Error("no answer");
if (!completion.data || !("choices" in completion.data)) throw new Error("no completion");

const content: string = turn.data.message.content;
const tokens: number = completion.data.usage.total_tokens;
const choice = completion.data.choices[0]?.message.content ?? null;
console.log(JSON.stringify({ content, choice, tokens, code: refused.error?.error.code, hasModels: !!models.data?.data.length }));
