import { useMemo, useSyncExternalStore } from 'react';
import { accessToken, config, rows, supabase } from './supabase';

const KEY = 'parley.deletions';
const GRACE_MS = 2_000; // for the page that was asked to delete, which may be another tab

/** A conversation that its user has deleted and whose deletion the server has not yet confirmed. */
interface Deletion {
  userId: string;
  /** When the time to undo ends, in milliseconds since 1970. */
  due: number;
}

const listeners = new Set<() => void>();
const stored = () => localStorage.getItem(KEY) ?? '{}';
const deletions = () => JSON.parse(stored()) as Record<string, Deletion>;

function store(id: string, deletion: Deletion | null): void {
  const { [id]: _, ...others } = deletions();
  localStorage.setItem(KEY, JSON.stringify(deletion ? { ...others, [id]: deletion } : others));
  for (const listener of listeners) listener();
}

const idsOf = (known: Record<string, Deletion>, userId: string) => Object.keys(known).filter((id) => known[id]?.userId === userId);

/** The conversations that this user has deleted in this browser, in any tab, and that the server may still have. */
export function useDeleted(userId: string): ReadonlySet<string> {
  const text = useSyncExternalStore((listener) => {
    listeners.add(listener);
    addEventListener('storage', listener); // of other tabs
    return () => {
      listeners.delete(listener);
      removeEventListener('storage', listener);
    };
  }, stored);
  return useMemo(() => new Set(idsOf(JSON.parse(text) as Record<string, Deletion>, userId)), [text, userId]);
}

/** Deletes a conversation, or finds it gone; the request survives the end of the page. */
async function deleteConversation(id: string, token: string | null): Promise<void> {
  const response = await fetch(`${config.supabaseUrl}/rest/v1/rpc/delete_conversation`, {
    method: 'POST',
    keepalive: true,
    headers: { apikey: config.supabaseAnonKey, Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ conversation_id: id }),
  });
  if (!response.ok && response.status !== 404) throw new Error(((await response.json()) as { message?: string }).message ?? 'The conversation was not deleted.');
}

/**
 * Deletes after some seconds, or when the page is closed; then awaits `onDone` with what went wrong. Returns a function
 * that cancels. The browser remembers the deletion until then, for a page that opens before the server has it.
 */
export function deleteLater(id: string, userId: string, seconds: number, onDone: (error: unknown) => Promise<void>): () => void {
  let token: string | null = null;
  void accessToken().then((found) => (token = found));
  const stop = () => {
    clearTimeout(timer);
    removeEventListener('pagehide', leave);
  };
  const end = (error: unknown) => void onDone(error).finally(() => store(id, null));
  const run = () => {
    stop();
    deleteConversation(id, token).then(() => end(null), end);
  };
  const leave = () => {
    stop();
    void deleteConversation(id, token).then(() => end(null), () => undefined); // the next page tries again
  };
  const timer = setTimeout(run, seconds * 1000);
  addEventListener('pagehide', leave);
  store(id, { userId, due: Date.now() + seconds * 1000 });
  return () => {
    stop();
    store(id, null);
  };
}

/** Deletes what an earlier page was left before it had deleted it. */
export async function finishDeletions(userId: string, onDone: (error: unknown) => Promise<void>): Promise<void> {
  for (const id of idsOf(deletions(), userId)) {
    await new Promise((resolve) => setTimeout(resolve, (deletions()[id]?.due ?? 0) + GRACE_MS - Date.now()));
    if (!deletions()[id]) continue; // undone or done in another tab
    try {
      const found = await rows<unknown[]>(supabase.from('llm_conversations').select('id').eq('id', id));
      if (found.length) await deleteConversation(id, await accessToken());
      await onDone(null);
    } catch (error) {
      await onDone(error);
    }
    store(id, null);
  }
}
