import { type FormEvent, useState } from 'react';
import { fromNow } from '../lib/format';
import { useAction } from '../lib/hooks';
import { createInvitation, linkOf, revoke, useInvitations } from '../lib/sharing';
import { CopyBlock, Field } from '../ui/parts';

/** Invites by a link, for everyone who has it or for one e-mail address; and the open invitations. */
export function Invite({ conversationId }: { conversationId: string }) {
  const [email, setEmail] = useState('');
  const [made, setMade] = useState<{ link: string; email: string } | null>(null);
  const open = useInvitations(conversationId, true);
  const { run, isBusy } = useAction();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const address = email.trim();
    void run(
      async () => {
        const { token } = await createInvitation(conversationId, address || null);
        setMade({ link: linkOf('invite', token), email: address });
        setEmail('');
      },
      { reads: ['invitations'] },
    );
  };
  return (
    <>
      <form className="stack" onSubmit={submit}>
        <Field label="E-mail address of the person, or nothing" hint="With an address the link is for that person alone, once. Without one, everyone who has the link may join for seven days.">
          {(field, hint) => <input id={field} type="email" aria-describedby={hint} value={email} autoComplete="off" placeholder="anyone with the link" onChange={(event) => setEmail(event.target.value)} />}
        </Field>
        <button type="submit" className="button button-primary" disabled={isBusy}>
          Make a link
        </button>
      </form>
      {made && (
        <div className="notice stack" role="status">
          <p>{made.email ? `Send this link to ${made.email}. The invitation is in their list of conversations, too.` : 'Send this link to the people who may join. It is shown only now.'}</p>
          <CopyBlock text={made.link} label="link of the invitation" />
        </div>
      )}
      {Boolean(open.data?.length) && (
        <ul className="members" aria-label="Open invitations">
          {open.data!.map((each) => (
            <li key={each.id}>
              <span>{each.email ?? 'A link'}</span>
              <span className="hint">ends {fromNow(each.expires_at)}</span>
              <button
                type="button"
                className="button button-quiet"
                aria-label={`Revoke the invitation of ${each.email ?? 'a link'}`}
                onClick={() => void run(() => revoke('conversation_invitations', each.id), { reads: ['invitations'] }).then(() => setMade(null))}
              >
                Revoke
              </button>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
