import { BookX, Download, FileJson, Link2, Share2, UserPlus } from 'lucide-react';
import { lazy, Suspense, useState } from 'react';
import type { Message } from '../lib/chat';
import { useUser } from '../auth/AuthProvider';
import { useAction } from '../lib/hooks';
import { changeConversation, type Conversation, exported, titleOf } from '../lib/conversations';
import { download } from '../lib/csv';
import { usd } from '../lib/format';
import { showToast } from '../lib/toasts';
import { Menu } from '../ui/Menu';

const Members = lazy(() => import('./Members'));
const ShareDialog = lazy(() => import('./ShareDialog'));

/** The title of a conversation, what it cost so far, its members, and its export. */
export function Header({ conversation, messages }: { conversation: Conversation | null; messages: Message[] }) {
  const [showsMembers, setShowsMembers] = useState(false);
  const [showsShares, setShowsShares] = useState(false);
  const user = useUser();
  const { run } = useAction();
  if (!conversation) return <header className="chat-head" />;
  const title = titleOf(conversation);
  const save = (format: 'markdown' | 'json') => {
    const file = exported(title, messages, format);
    download(file.name, file.type, file.text);
  };
  const copyLink = async () => {
    await navigator.clipboard.writeText(`${window.location.origin}/c/${conversation.id}`);
    showToast('The link is copied. It opens for members only.');
  };
  const allowsTraining = conversation.allows_training;
  const changeTraining = () =>
    run(() => changeConversation(conversation.id, { allows_training: !allowsTraining }), {
      done: allowsTraining ? 'No turn of this conversation is used for training.' : 'Members who allow training may have their turns here used.',
      reads: ['conversation'],
    });
  const training = { label: allowsTraining ? 'Keep out of training' : 'Do not keep out of training', icon: <BookX aria-hidden />, onSelect: () => void changeTraining() };
  const { length } = conversation.members;
  return (
    <header className="chat-head">
      <h1 title={title}>{title}</h1>
      <span className="chat-cost" title="All answers with a known price">
        {usd(conversation.total_cost)}
      </span>
      <button type="button" className="button button-quiet members-button" aria-label={length > 1 ? `${length} members` : 'Invite'} onClick={() => setShowsMembers(true)}>
        <UserPlus aria-hidden />
        <span>{length > 1 ? `${length} members` : 'Invite'}</span>
      </button>
      <Menu
        label="Export and link"
        trigger={<Download aria-hidden />}
        entries={[
          { label: 'Save as Markdown', icon: <Download aria-hidden />, onSelect: () => save('markdown') },
          { label: 'Save as JSON', icon: <FileJson aria-hidden />, onSelect: () => save('json') },
          { label: 'Copy the link', icon: <Link2 aria-hidden />, onSelect: () => void copyLink() },
          ...(conversation.user_id === user.id ? [{ label: 'Share a copy', icon: <Share2 aria-hidden />, onSelect: () => setShowsShares(true) }, null, training] : []),
        ]}
      />
      <Suspense>
        {showsShares && <ShareDialog conversationId={conversation.id} onClose={() => setShowsShares(false)} />}
        {showsMembers && <Members conversation={conversation} onClose={() => setShowsMembers(false)} />}
      </Suspense>
    </header>
  );
}
