import type { OAuthGrant } from '@supabase/supabase-js';
import { useQuery } from '@tanstack/react-query';
import { fromNow } from '../lib/format';
import { useAction } from '../lib/hooks';
import { rows, supabase } from '../lib/supabase';
import { plainLine } from '../lib/text';
import { type Column, DataTable } from '../ui/DataTable';
import { Section } from '../ui/parts';

/** The apps that the user consented to; nothing where Supabase's OAuth server is off. */
export function Apps() {
  const { run, isBusy } = useAction();
  const found = useQuery({ queryKey: ['apps'], queryFn: () => rows<OAuthGrant[]>(supabase.auth.oauth.listGrants()), retry: false });
  if (!found.data) return null;
  const revoke = (clientId: string) => run(() => rows(supabase.auth.oauth.revokeGrant({ clientId })), { done: 'The app has no access any more.', reads: ['apps'] });
  const columns: Column<OAuthGrant>[] = [
    { title: 'App', value: (row) => plainLine(row.client.name, 'app') },
    { title: 'Allowed', value: (row) => row.granted_at, show: (row) => fromNow(row.granted_at) },
    {
      title: 'Revoke',
      isAction: true,
      value: () => null,
      show: (row) => (
        <button type="button" className="button button-quiet button-small" disabled={isBusy} onClick={() => void revoke(row.client.id)}>
          Revoke<span className="sr-only"> {plainLine(row.client.name, 'app')}</span>
        </button>
      ),
    },
  ];
  return (
    <Section title="Your apps" lead="Agents such as Claude and Cursor that you allowed to ask on your account.">
      <DataTable label="Apps with access" columns={columns} rows={found.data} rowKey={(row) => row.client.id} file={null} empty="No app has access." />
    </Section>
  );
}
