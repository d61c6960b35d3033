import { type QueryClient, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import type { FileUIPart } from 'ai';
import type { Message } from './chat';
import { readAgain } from './readAgain';
import { fileName, plainLine } from './text';
import { rows, supabase } from './supabase';

export interface Member {
  user_id: string;
  role: 'owner' | 'member';
  joined_at: string;
  /** Of a group's member, as models see it. */
  name?: string;
}

export interface Conversation {
  id: string;
  client_id: string | null;
  title: string | null;
  user_id: string;
  last_activity: string;
  default_model: string | null;
  total_cost: number;
  total_tokens_used: number;
  allows_training: boolean;
  members: Member[];
}

/** A conversation in the user's list, where each member pins and archives for themselves. */
export interface Listed extends Conversation {
  pinned_at: string | null;
  archived_at: string | null;
}

const COLUMNS =
  'id,client_id,title,user_id,last_activity,default_model,total_cost,total_tokens_used,allows_training,' +
  'members:conversation_members(user_id,role,joined_at)';
const PAGE = 60;

export function titleOf(conversation: Pick<Conversation, 'title'>): string {
  return plainLine(conversation.title, 'Untitled');
}

/** The user's conversations, pinned ones first, then the newest, a page at a time. Admins may read all, so the user's own are named. */
export function useConversations(userId: string, search: string, isArchived: boolean) {
  return useInfiniteQuery({
    queryKey: ['conversations', search, isArchived],
    initialPageParam: 0,
    refetchInterval: 20_000, // turns of other members and other devices
    queryFn: async ({ pageParam }) => {
      let query = supabase.from('conversation_members').select(`pinned_at,archived_at,conversation:llm_conversations!inner(${COLUMNS})`).eq('user_id', userId);
      query = isArchived ? query.not('archived_at', 'is', null) : query.is('archived_at', null);
      if (search) query = query.ilike('conversation.title', `%${search.replace(/[%_\\]/g, '\\$&')}%`);
      const sorted = query.order('pinned_at', { ascending: false, nullsFirst: false }).order('conversation(last_activity)', { ascending: false });
      const found = await rows<(Omit<Listed, keyof Conversation> & { conversation: Conversation })[]>(sorted.range(pageParam, pageParam + PAGE - 1));
      return found.map(({ conversation, ...mine }): Listed => ({ ...conversation, ...mine }));
    },
    getNextPageParam: (last, pages) => (last.length === PAGE ? pages.length * PAGE : undefined),
  });
}

/** One conversation by its id or the page's own id of it; null when there is none for this user. */
export function useConversation(id: string | undefined) {
  return useQuery({
    queryKey: ['conversation', id],
    enabled: Boolean(id),
    // A new conversation is there a moment after its first question.
    refetchInterval: (query) => (query.state.data === null && query.state.dataUpdateCount < 8 ? 1500 : false),
    queryFn: async () => {
      const found = await rows<Conversation[]>(supabase.from('llm_conversations').select(COLUMNS).or(`id.eq.${id},client_id.eq.${id}`));
      return found.find((each) => each.id === id) ?? found[0] ?? null;
    },
  });
}

/** Changes columns that the owner may change. */
export async function changeConversation(
  id: string,
  changes: Partial<Pick<Conversation, 'title' | 'default_model' | 'allows_training'>>,
): Promise<void> {
  const changed = await rows<unknown[]>(supabase.from('llm_conversations').update(changes).eq('id', id).select('id'));
  if (!changed.length) throw new Error('Only the owner can change this conversation.');
}

/** Pins or archives for this user alone. */
export async function changeListed(id: string, userId: string, changes: Partial<Pick<Listed, 'pinned_at' | 'archived_at'>>): Promise<void> {
  const changed = await rows<unknown[]>(supabase.from('conversation_members').update(changes).eq('conversation_id', id).eq('user_id', userId).select('user_id'));
  if (!changed.length) throw new Error('You are no member of this conversation any more.');
}

/** Reads the list and the open conversation again. */
export async function refreshConversations(queries: QueryClient): Promise<void> {
  await readAgain(queries, ['conversations', 'conversation']);
}

/** The text of a message: its text parts, joined. */
export function messageText(message: Message): string {
  return message.parts.map((part) => (part.type === 'text' ? part.text : '')).filter(Boolean).join('\n\n');
}

/** The files of a question. */
export function filesOf(message: Pick<Message, 'parts'> | undefined): FileUIPart[] {
  return message?.parts.filter((part) => part.type === 'file') ?? [];
}

/** A conversation as Markdown or JSON, with the name of its file. */
export function exported(title: string, messages: Message[], format: 'markdown' | 'json'): { name: string; type: string; text: string } {
  if (format === 'json') {
    return { name: fileName(title, 'json'), type: 'application/json', text: JSON.stringify({ title, messages }, null, 2) };
  }
  const sections = messages.map((each) => {
    const author = each.role === 'user' ? 'Question' : `Answer${each.metadata?.model_label ? ` (${each.metadata.model_label})` : ''}`;
    return `## ${author}\n\n${messageText(each)}\n`;
  });
  return { name: fileName(title, 'md'), type: 'text/markdown', text: [`# ${title}\n`, ...sections].join('\n') };
}
