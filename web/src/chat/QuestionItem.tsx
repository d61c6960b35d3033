import { Pencil } from 'lucide-react';
import { type FormEvent, lazy, Suspense, useState } from 'react';
import { useUser } from '../auth/AuthProvider';
import type { Message } from '../lib/chat';
import { filesOf, type Member, messageText } from '../lib/conversations';
import { plainLine, plainText } from '../lib/text';
import { CopyButton } from '../ui/parts';

const FileParts = lazy(() => import('./FileParts'));
const FOLDED_FROM = 4000; // characters

/** A question of the user or of another member; own ones can be edited. */
export function QuestionItem(props: { message: Message; members: Member[]; canEdit: boolean; onEdit: (messageId: string, text: string) => void }) {
  const { message, members } = props;
  const user = useUser();
  const [isEditing, setEditing] = useState(false);
  const [isFolded, setFolded] = useState(true);
  const text = plainText(messageText(message));
  const author = message.metadata?.user_id;
  const isOwn = !author || author === user.id;
  const isLong = text.length > FOLDED_FROM;
  if (isEditing) {
    const save = (changed: string) => {
      setEditing(false);
      props.onEdit(message.id, changed);
    };
    return <Editor text={text} onSave={save} onCancel={() => setEditing(false)} />;
  }
  return (
    <article className={isOwn ? 'question' : 'question question-other'} aria-label={isOwn ? 'Your question' : `Question of ${memberName(author, members)}`}>
      {members.length > 1 && <p className="author">{isOwn ? 'You' : memberName(author, members)}</p>}
      {filesOf(message).length > 0 && (
        <Suspense>
          <FileParts files={filesOf(message)} />
        </Suspense>
      )}
      <div className="bubble" dir="auto">
        {isLong && isFolded ? `${text.slice(0, FOLDED_FROM)}…` : text}
        {isLong && (
          <button type="button" className="link" onClick={() => setFolded(!isFolded)}>
            {isFolded ? `Show all ${text.length.toLocaleString('en-US')} characters` : 'Show less'}
          </button>
        )}
      </div>
      <div className="question-tools">
        <CopyButton text={text} label="Copy the question" />
        {isOwn && (
          <button type="button" className="icon-button" aria-label="Edit the question" title="Edit" disabled={!props.canEdit} onClick={() => setEditing(true)}>
            <Pencil aria-hidden />
          </button>
        )}
      </div>
    </article>
  );
}

/** How a member is named: the name that models see, else the order of joining. */
export function memberName(userId: string | undefined, members: Member[]): string {
  const sorted = [...members].sort((a, b) => a.joined_at.localeCompare(b.joined_at) || a.user_id.localeCompare(b.user_id));
  const place = sorted.findIndex((each) => each.user_id === userId);
  return place < 0 ? 'Former member' : plainLine(sorted[place]!.name, `Person ${place + 1}`);
}

function Editor({ text, onSave, onCancel }: { text: string; onSave: (text: string) => void; onCancel: () => void }) {
  const [changed, setChanged] = useState(text);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (changed.trim()) onSave(changed);
  };
  return (
    <form className="editor" onSubmit={submit}>
      <textarea aria-label="Edit the question" autoFocus value={changed} rows={3} onChange={(event) => setChanged(event.target.value)} />
      <p className="hint">The new answer begins a second version. This one and what you asked after it stay in the first.</p>
      <div className="row row-end">
        <button type="button" className="button" onClick={onCancel}>
          Cancel
        </button>
        <button type="submit" className="button button-primary">
          Ask again
        </button>
      </div>
    </form>
  );
}
