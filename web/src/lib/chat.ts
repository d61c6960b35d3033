import { Chat, useChat } from '@ai-sdk/react';
import { DefaultChatTransport, type UIMessage } from 'ai';
import { accessToken, config, rows, supabase } from './supabase';

/** What a turn used and cost, as chat sends it before the end of the stream. */
export interface Receipt {
  turn_id: string;
  request_id: string;
  conversation_id: string | null;
  route: { identifier: string; provider: string; model: string; label?: string | null; reason: string | null; fallbacks: unknown[] };
  agents: string[];
  usage: { input_tokens: number | null; output_tokens: number | null; cached_tokens: number | null; reasoning_tokens: number | null; source: string };
  cost_usd: number | null;
  duration_ms: number;
  ttft_ms: number | null;
  logged: boolean | 'spooled';
}

export interface Metadata {
  turn_id?: string;
  conversation_id?: string;
  user_id?: string;
  model?: string;
  model_label?: string;
  agent?: string;
  agents?: string[];
  status?: string;
  created_at?: string;
  cost_usd?: number | null;
}

export type Message = UIMessage<Metadata, { receipt: Receipt }>;
export type ParleyChat = Chat<Message>;

const transport = () =>
  new DefaultChatTransport<Message>({
    api: config.chatUrl,
    headers: async () => ({ Authorization: `Bearer ${await accessToken()}` }),
    // The history is in the database: the question is enough.
    prepareSendMessagesRequest: ({ body, id, trigger, messageId, messages }) => ({
      body: { ...body, id, trigger, messageId, messages: messages.slice(-1) },
    }),
  });

const chats = new Map<string, ParleyChat>();

/** The chat of a conversation with its stored messages. A chat goes on answering while another one is shown. */
export async function openChat(id: string): Promise<ParleyChat> {
  const messages = chats.has(id) ? [] : await storedMessages(id);
  return chats.get(id) ?? newChat(id, messages);
}

/** An empty chat; its conversation begins with the first question. */
export function newChat(id: string = crypto.randomUUID(), messages: Message[] = []): ParleyChat {
  const chat = new Chat<Message>({ id, messages, transport: transport() });
  chats.set(id, chat);
  return chat;
}

/** A chat that this tab has opened; undefined when it has not. */
export function knownChat(id: string): ParleyChat | undefined {
  return chats.get(id);
}

export function forgetChats(): void {
  for (const chat of chats.values()) void chat.stop();
  chats.clear();
}

/** The newest 1,000 messages of a conversation. */
export async function storedMessages(id: string): Promise<Message[]> {
  return rows<Message[]>(supabase.rpc('ui_messages', { chat_id: id }));
}

/** The state of a chat in a component, at most 25 times a second while words arrive. */
export function useParley(chat: ParleyChat) {
  return useChat<Message>({ chat, experimental_throttle: 40 });
}

/** Shows messages that other members or other devices added; only while no answer of this tab is running. */
export async function syncChat(chat: ParleyChat): Promise<void> {
  const stored = await storedMessages(chat.id);
  if (chat.status !== 'ready') return;
  const [newest, shown] = [stored.at(-1), chat.messages.at(-1)];
  const isKnown = newest && shown && (newest.id === shown.id || (newest.role === shown.role && newest.metadata?.turn_id === shown.metadata?.turn_id));
  if (newest && !isKnown) chat.messages = stored;
}

/** Writes a message to the other members without asking a model. */
export async function writeMessage(conversationId: string, userId: string, content: string): Promise<void> {
  await rows(supabase.from('messages').insert({ conversation_id: conversationId, user_id: userId, role: 'user', content }));
}
