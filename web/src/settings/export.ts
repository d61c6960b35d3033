import { storedMessages } from '../lib/chat';
import { rows, supabase } from '../lib/supabase';

const PAGE = 500;

/** All rows of a table that are the user's. */
async function ownRows(table: string, column: string, userId: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for (;;) {
    const page = await rows<unknown[]>(supabase.from(table).select('*').eq(column, userId).range(found.length, found.length + PAGE - 1));
    found.push(...page);
    if (page.length < PAGE) return found;
  }
}

/** Everything of the user that the page can read: conversations with messages, log, ratings, nodes, profile and use. */
export async function exportMyData(userId: string): Promise<Record<string, unknown>> {
  const conversations = (await ownRows('llm_conversations', 'user_id', userId)) as { id: string }[];
  const withMessages = [];
  for (const conversation of conversations) {
    withMessages.push({ ...conversation, messages: await storedMessages(conversation.id) });
  }
  return {
    exported_at: new Date().toISOString(),
    user_id: userId,
    conversations: withMessages,
    turns: await ownRows('chat_logs', 'user_id', userId),
    feedback: await ownRows('feedback', 'user_id', userId),
    nodes: await ownRows('client_nodes', 'owner_id', userId),
    profile: await ownRows('user_llm_profiles', 'user_id', userId),
    usage: await ownRows('usage_daily', 'user_id', userId),
  };
}
