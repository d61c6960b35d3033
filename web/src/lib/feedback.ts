import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useUser } from '../auth/AuthProvider';
import type { Message } from './chat';
import { readAgain } from './readAgain';
import { rows, supabase } from './supabase';

export interface Feedback {
  turn_id: string;
  rating: number | null;
  sentiment: 'positive' | 'neutral' | 'negative' | null;
  note: string | null;
}

const NONE: ReadonlyMap<string, Feedback> = new Map();
const MAX_TURNS = 100; // their ids are in the address

/** The user's own ratings of the newest answers, by turn id. */
export function useFeedback(messages: Message[]): ReadonlyMap<string, Feedback> {
  const user = useUser();
  const conversationId = messages[0]?.metadata?.conversation_id ?? messages[1]?.metadata?.conversation_id;
  const turns = messages.flatMap((each) => (each.role === 'assistant' && each.metadata?.turn_id ? [each.metadata.turn_id] : [])).slice(-MAX_TURNS);
  const found = useQuery({
    queryKey: ['feedback', conversationId],
    enabled: turns.length > 0 && Boolean(conversationId),
    queryFn: async () => {
      const query = supabase.from('feedback').select('turn_id,rating,sentiment,note').eq('user_id', user.id).in('turn_id', turns);
      return new Map((await rows<Feedback[]>(query)).map((each) => [each.turn_id, each]));
    },
  });
  return found.data ?? NONE;
}

/** Stores a rating of a turn; the next one of the same user replaces it. */
export function useRate() {
  const user = useUser();
  const queries = useQueryClient();
  return async (feedback: Feedback) => {
    await rows(supabase.from('feedback').upsert({ ...feedback, user_id: user.id }, { onConflict: 'turn_id,user_id' }));
    await readAgain(queries, ['feedback']);
  };
}
