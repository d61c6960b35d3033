import { useQuery } from '@tanstack/react-query';
import type { Message } from './chat';
import { rows, supabase } from './supabase';

/** A link is shown once: only its owner has the token. It is behind the `#`, which browsers send to no server. */
export const linkOf = (page: 'invite' | 'shared', token: string) => `${window.location.origin}/${page}#${token}`;

interface Made {
  id: string;
  token: string;
  expires_at: string | null;
}

export interface Invitation {
  id: string;
  conversation_id: string;
  title?: string | null;
  email?: string | null;
  expires_at: string;
}

export interface Share {
  id: string;
  created_at: string;
  expires_at: string | null;
}

/** The open invitations to a conversation; its owner alone sees them. */
export function useInvitations(conversationId: string, isOwner: boolean) {
  return useQuery({
    queryKey: ['invitations', conversationId],
    enabled: isOwner,
    queryFn: () => rows<Invitation[]>(supabase.from('conversation_invitations').select('id,conversation_id,email,expires_at').eq('conversation_id', conversationId).order('created_at')),
  });
}

export function createInvitation(conversationId: string, email: string | null): Promise<Made> {
  return rows<Made>(supabase.rpc('create_invitation', { conversation_id: conversationId, email }));
}

/** Invitations to the user's own e-mail address. */
export function useMyInvitations() {
  return useQuery({ queryKey: ['my-invitations'], queryFn: () => rows<Invitation[]>(supabase.rpc('my_invitations')), refetchInterval: 60_000 });
}

/** Joins by the token of a link, or by the id of an invitation to the user's address; the conversation's id. */
export function acceptInvitation(token: string): Promise<string> {
  return rows<string>(supabase.rpc('accept_invitation', { token }));
}

export function useShares(conversationId: string) {
  return useQuery({
    queryKey: ['shares', conversationId],
    queryFn: () => rows<Share[]>(supabase.from('conversation_shares').select('id,created_at,expires_at').eq('conversation_id', conversationId).order('created_at')),
  });
}

export function createShare(conversationId: string, days: number | null): Promise<Made> {
  return rows<Made>(supabase.rpc('create_share', { conversation_id: conversationId, expires_in_days: days }));
}

/** Makes the link of an invitation or a share invalid. */
export function revoke(table: 'conversation_invitations' | 'conversation_shares', id: string): Promise<void> {
  return rows(supabase.from(table).delete().eq('id', id));
}

export interface Shared {
  title: string | null;
  messages: (Omit<Message, 'id' | 'metadata'> & { metadata?: { author?: number; model_label?: string } })[];
  created_at: string;
}

export function useShared(token: string) {
  return useQuery({ queryKey: ['shared', token], queryFn: () => rows<Shared>(supabase.rpc('shared_conversation', { token })), retry: false });
}
