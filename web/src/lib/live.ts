import type { RealtimeChannel } from '@supabase/supabase-js';
import { supabase } from './supabase';

/** A change in a conversation: ids only, words are read afterwards. */
export interface Change {
  event: 'message' | 'turn' | 'member' | 'conversation';
  user_id?: string | null;
  turn_id?: string | null;
  operation?: 'INSERT' | 'DELETE';
  state?: string;
}

interface Listener {
  onChange: (change: Change) => void;
  /** Whether changes arrive now; false as long as the project has no Realtime or the connection is lost. */
  onJoined: (isJoined: boolean) => void;
  /** The server has ended the channel, as it does for a removed member. */
  onClosed: () => void;
}

const leaving = new Map<string, Promise<unknown>>();

/** Joins the private channel of a conversation. Returns a function that leaves it. */
export function listen(conversationId: string, listener: Listener): () => void {
  const topic = `conversation:${conversationId}`;
  let channel: RealtimeChannel | null = null;
  let hasLeft = false;
  const join = async () => {
    await leaving.get(topic);
    await supabase.realtime.setAuth();
    if (hasLeft) return;
    channel = supabase.channel(topic, { config: { private: true } });
    channel.on('broadcast', { event: '*' }, ({ event, payload }) => listener.onChange({ ...payload, event }));
    channel.subscribe((status) => {
      if (hasLeft) return;
      listener.onJoined(status === 'SUBSCRIBED');
      if (status === 'CLOSED') listener.onClosed();
    });
  };
  void join();
  return () => {
    hasLeft = true;
    if (!channel) return;
    const left = supabase.removeChannel(channel).finally(() => leaving.delete(topic));
    leaving.set(topic, left);
  };
}
