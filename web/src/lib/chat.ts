import { Chat, useChat } from '@ai-sdk/react';
import { DefaultChatTransport, type UIMessage } from 'ai';
import { call } from './api';
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
  /** The turns of all versions of an answer, oldest first; absent with one version. */
  versions?: string[];
  paid_by?: string;
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
      body: { ...body, id, trigger, messageId, messages: messages.slice(-1), resumable: true },
    }),
  });

const chats = new Map<string, ParleyChat>();

/** The chat of a conversation with its stored messages. A chat goes on answering while another one is shown. */
export async function openChat(id: string): Promise<ParleyChat> {
  const known = chats.get(id);
  if (known) return known;
  const chat = newChat(id, await storedMessages(id));
  if (awaitsAnswer(chat)) void followAnswer(chat);
  return chat;
}

const awaitsAnswer = (chat: ParleyChat) => chat.lastMessage?.role === 'user';

/** Reads the answer that is being written, here or on another device; when it has ended, the stored one. */
export async function followAnswer(chat: ParleyChat): Promise<void> {
  await chat.resumeStream();
  if (awaitsAnswer(chat) && chat.status === 'ready') chat.messages = withEarlier(chat.messages, await storedMessages(chat.id));
}

/** Asks again after a failure. After a lost connection the question may have arrived: then its answer is read on. */
export async function retryAnswer(chat: ParleyChat, body: object): Promise<void> {
  const stored = chat.error instanceof TypeError ? await storedMessages(chat.id) : [];
  chat.clearError();
  if (hasArrived(chat.messages, stored)) {
    chat.messages = stored;
    if (awaitsAnswer(chat)) await followAnswer(chat);
    if (!awaitsAnswer(chat)) return;
  }
  await chat.regenerate({ body });
}

function hasArrived(shown: Message[], stored: Message[]): boolean {
  const [ours, theirs] = [shown, stored].map((messages) => messages.filter((each) => each.role === 'user')) as [Message[], Message[]];
  const text = (message: Message | undefined) => message?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
  return theirs.length > 0 && theirs.length >= ours.length && text(theirs.at(-1)) === text(ours.at(-1));
}

const STOP_AGAIN_MILLISECONDS = 1500;

/** Ends the answer for every reader; its words stay. A turn that has not begun yet is stopped a moment later. */
export async function stopAnswer(chat: ParleyChat): Promise<void> {
  const stopTurn = async () => ((await (await call(`${config.chatUrl}/${chat.id}/stop`, { method: 'POST' })).json()) as { stopped: boolean }).stopped;
  const isStopped = await stopTurn().finally(() => chat.stop());
  if (!isStopped) setTimeout(() => void stopTurn().catch(() => undefined), STOP_AGAIN_MILLISECONDS);
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

/** How many messages `ui_messages` gives at most. */
export const MESSAGES_PAGE = 1000;

/** The newest 1,000 messages of a conversation, or those before one of them. */
export async function storedMessages(id: string, before?: string): Promise<Message[]> {
  return rows<Message[]>(supabase.rpc('ui_messages', { chat_id: id, ...(before && { before }) }));
}

/** The state of a chat in a component, at most 33 times a second while words arrive. */
export function useParley(chat: ParleyChat) {
  return useChat<Message>({ chat, experimental_throttle: 30 });
}

/** Shows messages that other members or other devices added; only while no answer of this tab is running. */
export async function syncChat(chat: ParleyChat): Promise<'current' | 'gone'> {
  const stored = await storedMessages(chat.id);
  if (chat.status !== 'ready') return 'current';
  if (!stored.length) return chat.messages.length ? 'gone' : 'current';
  const known = withEarlier(chat.messages, stored);
  if (sameMessages(chat.messages, known)) return 'current';
  chat.messages = known;
  if (awaitsAnswer(chat)) await followAnswer(chat);
  return 'current';
}

/** The stored messages behind the earlier ones that were loaded. */
export function withEarlier(shown: Message[], stored: Message[]): Message[] {
  const first = shown.findIndex((each) => each.id === stored[0]?.id);
  return first > 0 ? [...shown.slice(0, first), ...stored] : stored;
}

/** Whether two lists have the same turns; a message that this tab has sent does not know its turn and its stored id. */
export function sameMessages(shown: Message[], stored: Message[]): boolean {
  const isSame = (one: Message, other: Message) =>
    one.id === other.id || (one.role === other.role && (!one.metadata?.turn_id || one.metadata.turn_id === other.metadata?.turn_id));
  return shown.length === stored.length && shown.every((each, index) => isSame(each, stored[index]!));
}

/** Adds the messages before the oldest shown one; whether there were any. */
export async function loadEarlier(chat: ParleyChat): Promise<boolean> {
  const first = chat.messages[0]?.id ?? '';
  const earlier = isStoredId(first) ? await storedMessages(chat.id, first) : [];
  if (chat.messages[0]?.id === first) chat.messages = [...earlier, ...chat.messages];
  return earlier.length > 0;
}

/** A message that this tab has sent has an id of the page until it is read again. */
const isStoredId = (id: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);

/** Loads messages until one of them is there; false when there is no such message. */
export async function loadMessage(chat: ParleyChat, id: string): Promise<boolean> {
  const isThere = () => chat.messages.some((each) => each.id === id);
  if (!isThere() && chat.status === 'ready') chat.messages = withEarlier(chat.messages, await storedMessages(chat.id));
  while (!isThere()) if (!(await loadEarlier(chat))) return false;
  return true;
}

/** Adds what only the database knows of answers that this page received, such as their versions. */
export async function learnMetadata(chat: ParleyChat): Promise<void> {
  const stored = new Map((await storedMessages(chat.id)).filter((each) => each.role === 'assistant').map((each) => [each.metadata?.turn_id, each]));
  if (chat.status !== 'ready') return;
  chat.messages = chat.messages.map((message) => {
    const found = message.role === 'assistant' ? stored.get(message.metadata?.turn_id)?.metadata : undefined;
    const isNew = found && (found.paid_by !== message.metadata?.paid_by || String(found.versions) !== String(message.metadata?.versions));
    return isNew ? { ...message, metadata: { ...message.metadata, ...found } } : message;
  });
}

/** Shows another version of an answer, with what followed it. */
export async function chooseVersion(chat: ParleyChat, turnId: string): Promise<void> {
  await rows(supabase.rpc('choose_version', { turn_id: turnId }));
  chat.messages = withEarlier(chat.messages, await storedMessages(chat.id));
}

/** Copies a conversation up to a turn into a new one of the user; its id. */
export async function forkConversation(conversationId: string, turnId: string): Promise<string> {
  return rows<string>(supabase.rpc('fork_conversation', { conversation_id: conversationId, turn_id: turnId }));
}

/** Writes a message to the other members without asking a model. */
export async function writeMessage(conversationId: string, userId: string, content: string): Promise<void> {
  await rows(supabase.from('messages').insert({ conversation_id: conversationId, user_id: userId, role: 'user', content }));
}
