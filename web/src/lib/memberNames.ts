import { useQuery } from '@tanstack/react-query';
import { rows, supabase } from './supabase';

/** The names of a group's members by their ids; empty for a conversation of one user. */
export function useMemberNames(conversationId: string | undefined, isGroup: boolean) {
  return useQuery({
    queryKey: ['conversation', 'names', conversationId],
    enabled: isGroup && Boolean(conversationId),
    queryFn: () => rows<Record<string, string>>(supabase.rpc('member_names', { chat_id: conversationId! })),
  });
}
