import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { errorText } from '../lib/errors';
import { useTitle } from '../lib/hooks';
import { goToApp, rows, supabase } from '../lib/supabase';
import { plainLine } from '../lib/text';
import { Failure, Loading, Page } from '../ui/parts';

/** Where Supabase Auth sends a user whom an app asks for access. A user who consented before goes on at once. */
export default function ConsentPage() {
  useTitle('An app asks for access');
  const [id] = useState(() => new URLSearchParams(window.location.search).get('authorization_id') ?? '');
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState('');
  const asked = useQuery({
    queryKey: ['authorization', id],
    queryFn: () => rows<Awaited<ReturnType<typeof supabase.auth.oauth.getAuthorizationDetails>>['data']>(supabase.auth.oauth.getAuthorizationDetails(id)),
    staleTime: Infinity,
    refetchOnWindowFocus: false,
    retry: false,
  });
  const redirect = asked.data && 'redirect_url' in asked.data ? asked.data.redirect_url : null;
  useEffect(() => {
    if (redirect) goToApp(redirect);
  }, [redirect]);

  const decide = async (action: 'approveAuthorization' | 'denyAuthorization') => {
    setBusy(true);
    try {
      const { redirect_url } = await rows<{ redirect_url: string }>(supabase.auth.oauth[action](id, { skipBrowserRedirect: true }));
      goToApp(redirect_url);
    } catch (error) {
      setFailure(errorText(error));
      setBusy(false);
    }
  };

  if (asked.isError) return <Failure error={asked.error} />;
  if (!asked.data || !('client' in asked.data)) return <Loading label="Asking" />;
  const { client, user, redirect_uri } = asked.data;
  const name = plainLine(client.name, 'An app');
  return (
    <Page title={`${name} asks for access`} lead={`It registered itself under this name. Allow it only if you have just started to connect it.`}>
      <div className="card">
        <p>
          You are signed in as <strong>{user.email}</strong>. The answer goes to <strong>{new URL(redirect_uri).host}</strong>.
        </p>
        <ul className="plain-list">
          <li>It may ask models on your account, within your limits and its own.</li>
          <li>It may search your messages and read your usage if the operator of this page allows apps to.</li>
          <li>It reads nothing else, and you can take the access back on the page “Nodes and keys”.</li>
        </ul>
        {failure && (
          <p className="notice notice-error" role="alert">
            {failure}
          </p>
        )}
        <div className="row row-end">
          <button type="button" className="button" disabled={isBusy} onClick={() => void decide('denyAuthorization')}>
            Deny
          </button>
          <button type="button" className="button button-primary" disabled={isBusy} onClick={() => void decide('approveAuthorization')}>
            Allow
          </button>
        </div>
      </div>
    </Page>
  );
}
