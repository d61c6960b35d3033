import { useMemo, useSyncExternalStore } from 'react';
import { accessToken, config, rows, supabase } from './supabase';

const KEY = 'parley.deletions';
const GRACE_MS = 2_000; // for the page that was asked to delete, which may be another tab
const KEPT_MS = 86_400_000; // of a done deletion, for tabs in the background

/** A conversation that its user has deleted. It stays hidden, also in lists that were read before. */
interface Deletion {
  userId: string;
  /** When the time to undo ends, in milliseconds since 1970. */
  due: number;
  /** When the server had deleted it; absent before. */
  doneAt?: number;
}

const listeners = new Set<() => void>();
const stored = () => localStorage.getItem(KEY) ?? '{}';
const deletions = () => JSON.parse(stored()) as Record<string, Deletion>;

function store(id: string, deletion: Deletion | null): void {
  const { [id]: _, ...others } = deletions();
  const kept = Object.entries(others).filter(([, each]) => isKept(each));
  localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(deletion ? [...kept, [id, deletion]] : kept)));
  for (const listener of listeners) listener();
}

function isKept({ doneAt }: Deletion): boolean {
  return doneAt === undefined || Date.now() < doneAt + KEPT_MS;
}

function idsOf(known: Record<string, Deletion>, userId: string): string[] {
  return Object.entries(known).flatMap(([id, each]) => (each.userId === userId && isKept(each) ? [id] : []));
}

function isOpen(id: string): boolean {
  const found = deletions()[id];
  return found !== undefined && found.doneAt === undefined;
}

/** The conversations that this user has deleted in this browser, in any tab. The server may still have them. */
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

/** Deletes a conversation, or finds it gone; null then. The request survives the end of the page. */
async function deleteConversation(id: string, token: string | null): Promise<null> {
  const response = await fetch(`${config.supabaseUrl}/rest/v1/rpc/delete_conversation`, {
    method: 'POST',
    keepalive: true,
    headers: { apikey: config.supabaseAnonKey, Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ conversation_id: id }),
  });
  if (response.ok) return null;
  const { message, details } = (await response.json().catch(() => ({}))) as { message?: string; details?: string };
  if (details?.includes('"conversation_not_found"')) return null; // another 404 is of the path or the function
  throw new Error(message ?? 'The conversation was not deleted.');
}

type OnDone = (error: unknown) => void;

/** Records that a deletion is done, or forgets it if it failed: its conversation is shown again. */
function settle(id: string, userId: string, error: unknown, onDone: OnDone): void {
  store(id, error ? null : { userId, due: 0, doneAt: Date.now() });
  onDone(error);
}

/**
 * Deletes after some seconds, or when the page is closed; then calls `onDone` with what went wrong. Returns a function
 * that cancels. The browser remembers the deletion, for a page that opens before the server has it.
 */
export function deleteLater(id: string, userId: string, seconds: number, onDone: OnDone): () => void {
  let token: string | null = null;
  void accessToken().then((found) => (token = found));
  store(id, { userId, due: Date.now() + seconds * 1000 });
  const stop = () => {
    clearTimeout(timer);
    removeEventListener('pagehide', leave);
  };
  const end = (error: unknown) => settle(id, userId, error, onDone);
  const run = () => {
    stop();
    deleteConversation(id, token).then(end, end);
  };
  const leave = () => {
    stop();
    void deleteConversation(id, token).then(end, () => undefined); // the next page tries again
  };
  const timer = setTimeout(run, seconds * 1000);
  addEventListener('pagehide', leave);
  return () => {
    stop();
    store(id, null);
  };
}

/** Deletes what an earlier page was left before it had deleted it. What cannot be done now is left to the next page. */
export async function finishDeletions(userId: string, onDone: OnDone): Promise<void> {
  for (const id of idsOf(deletions(), userId).filter(isOpen)) {
    const wait = () => (deletions()[id]?.due ?? 0) + GRACE_MS - Date.now();
    while (wait() > 0) await new Promise((resolve) => setTimeout(resolve, wait())); // another tab may undo and delete again
    if (!isOpen(id)) continue; // undone or done in another tab
    const { data } = await supabase.auth.getSession();
    if (data.session?.user.id !== userId) return; // another user must not ask for it
    try {
      const found = await rows<unknown[]>(supabase.from('llm_conversations').select('id').eq('id', id));
      const failure: unknown = found.length ? await deleteConversation(id, data.session.access_token).catch((error: unknown) => error) : null;
      settle(id, userId, failure, onDone);
    } catch {
      return; // the server cannot be reached
    }
  }
}
