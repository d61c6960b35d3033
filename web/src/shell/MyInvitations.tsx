import { useLocation } from 'wouter';
import { titleOf } from '../lib/conversations';
import { useAction } from '../lib/hooks';
import { acceptInvitation, useMyInvitations } from '../lib/sharing';

/** Invitations to the user's e-mail address; nothing without one. */
export default function MyInvitations() {
  const found = useMyInvitations();
  const { run, isBusy } = useAction();
  const [, navigate] = useLocation();
  if (!found.data?.length) return null;
  return (
    <ul className="invitations" aria-label="Invitations to you">
      {found.data.map((each) => (
        <li key={each.id}>
          <span>
            Invitation: <strong>{titleOf({ title: each.title ?? null })}</strong>
          </span>
          <button
            type="button"
            className="button button-small"
            disabled={isBusy}
            onClick={() => void run(async () => navigate(`/c/${await acceptInvitation(each.id)}`), { reads: ['my-invitations', 'conversations'] })}
          >
            Join
          </button>
        </li>
      ))}
    </ul>
  );
}
