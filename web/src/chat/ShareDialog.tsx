import { useState } from 'react';
import { dateTime, fromNow } from '../lib/format';
import { useAction } from '../lib/hooks';
import { createShare, linkOf, revoke, useShares } from '../lib/sharing';
import { Dialog } from '../ui/Dialog';
import { CopyBlock, Field } from '../ui/parts';

const SPANS = { '7': 'for 7 days', '30': 'for 30 days', '': 'until it is revoked' };

/** Shares a copy of a conversation, to read only, and lists the copies that are shared. */
export default function ShareDialog({ conversationId, onClose }: { conversationId: string; onClose: () => void }) {
  const [days, setDays] = useState('30');
  const [link, setLink] = useState('');
  const shares = useShares(conversationId);
  const { run, isBusy } = useAction();
  const share = () =>
    run(async () => setLink(linkOf('shared', (await createShare(conversationId, days ? Number(days) : null)).token)), { reads: ['shares'] });
  return (
    <Dialog title="Share a copy" onClose={onClose}>
      <p className="lead">Everyone who is signed in and has the link can read the conversation as it is now. Names, costs and later messages are not in the copy.</p>
      <Field label="The link is valid">
        {(id) => (
          <select id={id} value={days} onChange={(event) => setDays(event.target.value)}>
            {Object.entries(SPANS).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
      <button type="button" className="button button-primary" disabled={isBusy} onClick={() => void share()}>
        Make a link to a copy
      </button>
      {link && (
        <div className="notice stack" role="status">
          <p>The link is shown only now.</p>
          <CopyBlock text={link} label="link of the copy" />
        </div>
      )}
      {Boolean(shares.data?.length) && (
        <ul className="members" aria-label="Shared copies">
          {shares.data!.map((each) => (
            <li key={each.id}>
              <span>Copy of {dateTime(each.created_at)}</span>
              <span className="hint">{each.expires_at ? `ends ${fromNow(each.expires_at)}` : 'without an end'}</span>
              <button
                type="button"
                className="button button-quiet"
                aria-label={`Revoke the copy of ${dateTime(each.created_at)}`}
                onClick={() => void run(() => revoke('conversation_shares', each.id), { done: 'The link is invalid now.', reads: ['shares'] }).then(() => setLink(''))}
              >
                Revoke
              </button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}
