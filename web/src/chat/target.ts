import { useEffect, useState } from 'react';
import { loadEarlier, loadMessage, MESSAGES_PAGE, type ParleyChat } from '../lib/chat';
import { errorText } from '../lib/errors';
import { useParameter } from '../lib/hooks';
import { showToast } from '../lib/toasts';

/** The message to scroll to: one that the search found, or the first one before earlier messages were loaded. */
export interface Target {
  id: string;
  isFound: boolean;
}

/** Loads what `?message=` names, and earlier messages on demand. */
export function useTarget(chat: ParleyChat, shown: number) {
  const [sought] = useParameter('message', '');
  const [target, setTarget] = useState<Target | null>(null);
  const [isWhole, setWhole] = useState(false);
  const [isLoading, setLoading] = useState(false);
  useEffect(() => {
    if (!sought) return;
    loadMessage(chat, sought).then(
      (isThere) => (isThere ? setTarget({ id: sought, isFound: true }) : showToast('This message is not shown: it was deleted, or it is in another version.')),
      (error: unknown) => showToast(errorText(error), { isError: true }),
    );
  }, [chat, sought]);
  const loadMore = async () => {
    const first = chat.messages[0]?.id ?? '';
    setLoading(true);
    try {
      setWhole(!(await loadEarlier(chat)));
      setTarget({ id: first, isFound: false });
    } catch (error) {
      showToast(errorText(error), { isError: true });
    }
    setLoading(false);
  };
  return { sought, target, earlier: shown >= MESSAGES_PAGE && !isWhole ? { load: () => void loadMore(), isLoading } : null };
}
