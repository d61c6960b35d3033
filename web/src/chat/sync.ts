import { type QueryClient, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { useUser } from '../auth/AuthProvider';
import { type ParleyChat, syncChat } from '../lib/chat';
import { refreshConversations } from '../lib/conversations';
import { type Change, listen } from '../lib/live';

const JOIN_MILLISECONDS = 2000;
const POLL_MILLISECONDS = 4000;
const POLL_WHILE_JOINED_MILLISECONDS = 60_000; // for a change whose broadcast was lost
const JOIN_AGAIN_MILLISECONDS = 15_000;

/** Keeps the messages current: by Realtime where the project has it; without it a group asks every few seconds. */
export function useSync(chat: ParleyChat, conversationId: string | undefined, isGroup: boolean, isRunning: boolean): void {
  const queries = useQueryClient();
  const { id: userId } = useUser();
  const [isJoined, setJoined] = useState(false);
  const [round, setRound] = useState(0);
  const syncer = useRef<ReturnType<typeof makeSyncer>>(null);
  syncer.current ??= makeSyncer(chat, queries);
  const { sync, catchUp } = syncer.current;

  useEffect(() => {
    if (!isRunning) catchUp();
    document.addEventListener('visibilitychange', catchUp);
    return () => document.removeEventListener('visibilitychange', catchUp);
  }, [catchUp, isRunning]);

  useEffect(() => {
    if (!conversationId) return undefined;
    const first = isJoined ? undefined : setTimeout(sync, JOIN_MILLISECONDS);
    const timer = isGroup ? setInterval(sync, isJoined ? POLL_WHILE_JOINED_MILLISECONDS : POLL_MILLISECONDS) : undefined;
    return () => {
      clearTimeout(first);
      clearInterval(timer);
    };
  }, [conversationId, isGroup, isJoined, sync]);

  useEffect(() => {
    if (!conversationId) return undefined;
    let timer: ReturnType<typeof setTimeout>;
    const leave = listen(conversationId, {
      onJoined: (joined) => {
        setJoined(joined);
        if (joined) void sync(); // what came before, or while the connection was lost
      },
      onClosed: () => {
        void refreshConversations(queries);
        timer = setTimeout(() => setRound((known) => known + 1), JOIN_AGAIN_MILLISECONDS);
      },
      onChange: (change) => {
        if (change.event === 'member' || change.event === 'conversation') void refreshConversations(queries);
        else if (!isOwnTurn(chat, change, userId)) void sync();
      },
    });
    return () => {
      clearTimeout(timer);
      leave();
    };
  }, [chat, conversationId, queries, round, sync, userId]);
}

/** Whether a change belongs to the answer that this tab is reading. */
function isOwnTurn(chat: ParleyChat, change: Change, userId: string): boolean {
  const isByOther = change.event === 'message' && change.user_id != null && change.user_id !== userId;
  return (chat.status === 'submitted' || chat.status === 'streaming') && !isByOther;
}

/** Reads a chat's stored messages: once at a time, and not while words arrive or the tab is hidden, but afterwards. */
function makeSyncer(chat: ParleyChat, queries: QueryClient) {
  let [isBusy, isLate] = [false, false];
  const sync = async () => {
    isLate = true;
    if (isBusy) return;
    isBusy = true;
    try {
      while (isLate && !document.hidden && chat.status === 'ready') {
        isLate = false;
        if ((await syncChat(chat)) === 'gone') void refreshConversations(queries);
      }
    } catch {
      isLate = false; // the next change or the next interval asks again
    } finally {
      isBusy = false;
    }
  };
  const catchUp = () => {
    if (isLate) void sync();
  };
  return { sync, catchUp };
}
