import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { readAgain } from '../lib/readAgain';
import { errorText } from '../lib/errors';
import { useTitle } from '../lib/hooks';
import { acceptInvitation } from '../lib/sharing';
import { Page } from '../ui/parts';

/** What a link of an invitation opens. Opening it does not accept it. */
export default function InvitePage() {
  const [token] = useState(() => window.location.hash.slice(1));
  const [failure, setFailure] = useState('');
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  useTitle('Invitation');
  const join = async () => {
    try {
      const id = await acceptInvitation(token);
      void readAgain(queries, ['conversations', 'conversation', 'my-invitations']);
      navigate(`/c/${id}`, { replace: true });
    } catch (error) {
      setFailure(errorText(error));
    }
  };
  return (
    <Page title="You are invited to a conversation" lead="Members read everything in it, and each one pays for the questions they ask. You may leave at any time.">
      {failure && (
        <p className="notice notice-error" role="alert">
          {failure}
        </p>
      )}
      <div className="row">
        <button type="button" className="button button-primary" onClick={() => void join()}>
          Join the conversation
        </button>
      </div>
    </Page>
  );
}
