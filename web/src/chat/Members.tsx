import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { useLocation } from 'wouter';
import { useUser } from '../auth/AuthProvider';
import { type Conversation, type Member, refreshConversations } from '../lib/conversations';
import { errorText } from '../lib/errors';
import { rows, supabase } from '../lib/supabase';
import { CopyBlock, Field } from '../ui/parts';
import { Dialog } from '../ui/Dialog';
import { Invite } from './Invite';
import { memberName } from './QuestionItem';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Who takes part; the owner adds and removes people, the others may leave. */
export default function Members({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const user = useUser();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const [failure, setFailure] = useState('');
  const isOwner = conversation.user_id === user.id;

  async function change(act: () => Promise<unknown>): Promise<boolean> {
    try {
      setFailure('');
      await act();
      void refreshConversations(queries);
      return true;
    } catch (error) {
      setFailure(memberFailure(error));
      return false;
    }
  }
  const remove = async (member: Member) => {
    const query = supabase.from('conversation_members').delete().eq('conversation_id', conversation.id).eq('user_id', member.user_id);
    const isDone = await change(() => rows(query));
    if (isDone && member.user_id === user.id) navigate('/');
  };
  const add = (userId: string) => change(() => rows(supabase.from('conversation_members').insert({ conversation_id: conversation.id, user_id: userId })));
  return (
    <Dialog title="Members" onClose={onClose}>
      <p className="lead">Members read everything in this conversation, and each one pays for the questions they ask.</p>
      <ul className="members">
        {conversation.members.map((member) => (
          <li key={member.user_id}>
            <span>{member.user_id === user.id ? 'You' : memberName(member.user_id, conversation.members)}</span>
            <span className="hint">{member.role === 'owner' ? 'owner' : `member ${member.user_id.slice(0, 8)}`}</span>
            {member.role !== 'owner' && (isOwner || member.user_id === user.id) && (
              <button type="button" className="button button-quiet" onClick={() => void remove(member)}>
                {member.user_id === user.id ? 'Leave' : 'Remove'}
              </button>
            )}
          </li>
        ))}
      </ul>
      {failure && (
        <p className="notice notice-error" role="alert">
          {failure}
        </p>
      )}
      {isOwner && <Invite conversationId={conversation.id} />}
      {isOwner && (
        <details className="fold">
          <summary>Add by user id</summary>
          <div className="fold-body">
            <AddById onAdd={add} link={`${window.location.origin}/c/${conversation.id}`} />
          </div>
        </details>
      )}
    </Dialog>
  );
}

function AddById({ onAdd, link }: { onAdd: (userId: string) => Promise<boolean>; link: string }) {
  const [id, setId] = useState('');
  const [isAdded, setAdded] = useState(false);
  async function submit(event: FormEvent) {
    event.preventDefault();
    if (await onAdd(id.trim())) {
      setAdded(true);
      setId('');
    }
  }
  return (
    <form className="stack" onSubmit={submit}>
      <Field label="User id of a person" hint="They find it under Privacy, “Your user id”, and send it to you.">
        {(field, hint) => (
          <input id={field} aria-describedby={hint} value={id} spellCheck={false} placeholder="00000000-0000-0000-0000-000000000000" onChange={(event) => setId(event.target.value)} />
        )}
      </Field>
      <button type="submit" className="button" disabled={!UUID.test(id.trim())}>
        Add to this conversation
      </button>
      {isAdded && (
        <div className="notice" role="status">
          <p>Added. The conversation is in their list; this link opens it, too:</p>
          <CopyBlock text={link} label="link" />
        </div>
      )}
    </form>
  );
}

function memberFailure(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === '23503') return 'There is no person with this id.';
  if (code === '23505') return 'This person is a member already.';
  return errorText(error);
}
