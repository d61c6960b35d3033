import { useQueryClient } from '@tanstack/react-query';
import { Archive, ArchiveRestore, Ellipsis, Pencil, Pin, PinOff, Trash2, Users } from 'lucide-react';
import { type FormEvent, lazy, Suspense, useEffect, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { useUser } from '../auth/AuthProvider';
import { knownChat } from '../lib/chat';
import { changeConversation, changeListed, type Conversation, type Listed, refreshConversations, titleOf, useConversations } from '../lib/conversations';
import { deleteLater, finishDeletions, useDeleted } from '../lib/deletions';
import { errorText } from '../lib/errors';
import { useStill } from '../lib/hooks';
import { showToast } from '../lib/toasts';
import { Dialog } from '../ui/Dialog';
import { Menu } from '../ui/Menu';
import { Failure, Field, Loading } from '../ui/parts';
import { preloadable } from '../ui/preloadable';

const UNDO_SECONDS = 6;
const MyInvitations = lazy(() => import('./MyInvitations'));
const { Part: FoundMessages, preload: preloadFound } = preloadable(() => import('./FoundMessages'));

/** The user's conversations, pinned ones first, with a search in titles and messages. */
export function ConversationList() {
  const [search, setSearch] = useState('');
  const [isArchived, setArchived] = useState(false);
  const [renamed, setRenamed] = useState<Conversation | null>(null);
  const words = useStill(search.trim(), 200);
  const { id: userId } = useUser();
  const deleted = useDeleted(userId);
  const list = useConversations(userId, words, isArchived);
  const found = (list.data?.pages.flat() ?? []).filter((each) => !deleted.has(each.id));
  const actions = useActions(setRenamed);
  return (
    <nav className="conversations" aria-label="Conversations">
      <div className="conversations-find">
        <input type="search" aria-label="Search titles and messages" placeholder="Search" value={search} onFocus={preloadFound} onChange={(event) => setSearch(event.target.value)} />
        <button
          type="button"
          className="icon-button"
          aria-pressed={isArchived}
          aria-label="Archived conversations"
          title="Archived conversations"
          onClick={() => setArchived(!isArchived)}
        >
          <Archive aria-hidden />
        </button>
      </div>
      <Suspense>
        <MyInvitations />
      </Suspense>
      {list.isPending && <Loading label="Loading conversations" />}
      {list.isError && <Failure error={list.error} onRetry={() => void list.refetch()} />}
      {list.isSuccess && !found.length && (
        <p className="conversations-none">{search ? 'No title matches.' : isArchived ? 'Nothing is archived.' : 'Your conversations appear here.'}</p>
      )}
      <ul>
        {found.map((each) => (
          <Item key={each.id} conversation={each} actions={actions} />
        ))}
      </ul>
      {list.hasNextPage && (
        <button type="button" className="button button-quiet" onClick={() => void list.fetchNextPage()}>
          Older conversations
        </button>
      )}
      <Suspense>{words.length > 1 && <FoundMessages words={words} />}</Suspense>
      {renamed && <Rename conversation={renamed} onClose={() => setRenamed(null)} />}
    </nav>
  );
}

/** The address under which this tab has opened the conversation, else that of its id. */
function addressOf({ id, client_id: clientId }: Conversation): string {
  return `/c/${clientId && knownChat(clientId) ? clientId : id}`;
}

function isAt(path: string, { id, client_id: clientId }: Conversation): boolean {
  return path === `/c/${id}` || path === `/c/${clientId}`;
}

type Actions = ReturnType<typeof useActions>;

function useActions(rename: (conversation: Conversation) => void) {
  const queries = useQueryClient();
  const [path, navigate] = useLocation();
  const { id: userId } = useUser();
  const change = async (id: string, changes: Parameters<typeof changeListed>[2]) => {
    try {
      await changeListed(id, userId, changes);
      void refreshConversations(queries);
    } catch (error) {
      showToast(errorText(error), { isError: true });
    }
  };
  const afterDeletion = (error: unknown) => {
    if (error) showToast(errorText(error), { isError: true });
    void refreshConversations(queries);
  };
  useEffect(() => void finishDeletions(userId, afterDeletion), [userId]);
  const remove = (conversation: Conversation) => {
    if (isAt(path, conversation)) navigate('/');
    const cancel = deleteLater(conversation.id, userId, UNDO_SECONDS, afterDeletion);
    const hide = showToast(`“${titleOf(conversation)}” is deleted.`, {
      seconds: UNDO_SECONDS,
      action: {
        label: 'Undo',
        run: () => {
          cancel();
          hide();
        },
      },
    });
  };
  return { change, remove, rename };
}

function Item({ conversation, actions }: { conversation: Listed; actions: Actions }) {
  const user = useUser();
  const [path] = useLocation();
  const title = titleOf(conversation);
  const { pinned_at: isPinned, archived_at: isArchived } = conversation;
  const isOwner = conversation.user_id === user.id;
  const here = isAt(path, conversation);
  const now = () => new Date().toISOString();
  const own = [
    {
      label: isPinned ? 'Unpin' : 'Pin',
      icon: isPinned ? <PinOff aria-hidden /> : <Pin aria-hidden />,
      onSelect: () => void actions.change(conversation.id, { pinned_at: isPinned ? null : now() }),
    },
    {
      label: isArchived ? 'Bring back' : 'Archive',
      icon: isArchived ? <ArchiveRestore aria-hidden /> : <Archive aria-hidden />,
      onSelect: () => void actions.change(conversation.id, { archived_at: isArchived ? null : now() }),
    },
  ];
  const rename = { label: 'Rename', icon: <Pencil aria-hidden />, onSelect: () => actions.rename(conversation) };
  const remove = { label: 'Delete', icon: <Trash2 aria-hidden />, isDanger: true, onSelect: () => actions.remove(conversation) };
  return (
    <li className={here ? 'conversation conversation-here' : 'conversation'}>
      <Link href={addressOf(conversation)} aria-current={here ? 'page' : undefined} title={title}>
        {isPinned && <Pin aria-label="Pinned" />}
        {conversation.members.length > 1 && <Users aria-label="Group" />}
        <span>{title}</span>
      </Link>
      <Menu label={`Actions for ${title}`} trigger={<Ellipsis aria-hidden />} entries={isOwner ? [rename, ...own, null, remove] : own} />
    </li>
  );
}

function Rename({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const queries = useQueryClient();
  const [title, setTitle] = useState(titleOf(conversation));
  async function submit(event: FormEvent) {
    event.preventDefault();
    try {
      await changeConversation(conversation.id, { title: title.trim().slice(0, 200) || null });
      void refreshConversations(queries);
      onClose();
    } catch (error) {
      showToast(errorText(error), { isError: true });
    }
  }
  return (
    <Dialog title="Rename" onClose={onClose}>
      <form onSubmit={submit} className="stack">
        <Field label="Title">{(id) => <input id={id} value={title} maxLength={200} autoFocus onChange={(event) => setTitle(event.target.value)} />}</Field>
        <footer className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button button-primary">
            Save
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
