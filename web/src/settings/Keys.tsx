import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { useUser } from '../auth/AuthProvider';
import { dateTime, fromNow, usd } from '../lib/format';
import { useAction } from '../lib/hooks';
import { rows, supabase } from '../lib/supabase';
import { plainLine } from '../lib/text';
import { Confirm, Dialog } from '../ui/Dialog';
import { type Column, DataTable } from '../ui/DataTable';
import { CopyBlock, Failure, Field, Loading, Switch } from '../ui/parts';

interface Key {
  id: string;
  name: string;
  key_prefix: string;
  scopes: string[];
  daily_cost_usd: number | null;
  expires_at: string;
  revoked_at: string | null;
  last_used_at: string | null;
}

const COLUMNS = 'id,name,key_prefix,scopes,daily_cost_usd,expires_at,revoked_at,last_used_at';
const LIVES = { '7': 'a week', '30': '30 days', '90': '90 days', '366': 'a year' };

/** The user's personal keys; a new one is shown once. */
export function Keys() {
  const user = useUser();
  const [shown, setShown] = useState<{ name: string; key: string } | null>(null);
  const found = useQuery({
    queryKey: ['keys'],
    queryFn: () => rows<Key[]>(supabase.from('api_keys').select(COLUMNS).eq('user_id', user.id).order('created_at', { ascending: false })),
  });
  if (user.is_anonymous) return <p className="hint">Keys need an account.</p>;
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failure error={found.error} onRetry={() => void found.refetch()} />;
  return (
    <div className="cards">
      <KeyTable keys={found.data} />
      <NewKey onMade={setShown} />
      {shown && (
        <Dialog title={`Key “${shown.name}”`} onClose={() => setShown(null)}>
          <p>Copy it now: it is not shown again.</p>
          <CopyBlock text={shown.key} label="key" />
        </Dialog>
      )}
    </div>
  );
}

function KeyTable({ keys }: { keys: Key[] }) {
  const { run, isBusy } = useAction();
  const [revoked, setRevoked] = useState<Key | null>(null);
  const revoke = async () => {
    if (await run(() => rows(supabase.rpc('revoke_api_key', { id: revoked!.id })), { done: 'The key is revoked.', reads: ['keys'] })) setRevoked(null);
  };
  const columns: Column<Key>[] = [
    { title: 'Name', value: (row) => plainLine(row.name, 'key') },
    { title: 'Key', value: (row) => row.key_prefix, show: (row) => <span className="mono">{row.key_prefix}…</span> },
    { title: 'May', value: (row) => row.scopes.join(', ') },
    { title: 'A day', value: (row) => row.daily_cost_usd, show: (row) => (row.daily_cost_usd == null ? 'your caps' : usd(row.daily_cost_usd)), isNumber: true },
    { title: 'Last used', value: (row) => row.last_used_at, show: (row) => (row.last_used_at ? fromNow(row.last_used_at) : 'never') },
    { title: 'State', value: stateOf, isWhole: true },
    {
      title: 'Revoke',
      isAction: true,
      value: () => null,
      show: (row) =>
        isAlive(row) && (
          <button type="button" className="button button-quiet button-small" disabled={isBusy} onClick={() => setRevoked(row)}>
            Revoke<span className="sr-only"> {row.name}</span>
          </button>
        ),
    },
  ];
  return (
    <>
      <DataTable label="Your keys" columns={columns} rows={keys} rowKey={(row) => row.id} file={null} empty="You have no key yet." />
      {revoked && (
        <Confirm title={`Revoke ${plainLine(revoked.name, 'the key')}`} text="Programs with this key can begin no more answers. It cannot be undone." action="Revoke" isBusy={isBusy} onConfirm={() => void revoke()} onClose={() => setRevoked(null)} />
      )}
    </>
  );
}

function NewKey({ onMade }: { onMade: (made: { name: string; key: string }) => void }) {
  const { run, isBusy } = useAction();
  const [name, setName] = useState('');
  const [days, setDays] = useState('90');
  const [cap, setCap] = useState('');
  const [mayRead, setMayRead] = useState(false);
  async function submit(event: FormEvent) {
    event.preventDefault();
    const make = async () => {
      const scopes = ['chat', 'models', ...(mayRead ? ['history', 'usage'] : [])];
      const wanted = { name: name.trim(), expires_in_days: Number(days), daily_cost_usd: cap === '' ? null : Number(cap), scopes };
      onMade(await rows<{ name: string; key: string }>(supabase.rpc('create_api_key', wanted)));
    };
    if (await run(make, { reads: ['keys'] })) setName('');
  }
  return (
    <form className="card" onSubmit={submit}>
      <h3>Make a key</h3>
      <div className="fields">
        <Field label="Name of the key">{(id) => <input id={id} required maxLength={80} value={name} placeholder="laptop" onChange={(event) => setName(event.target.value)} />}</Field>
        <Field label="Valid for">
          {(id) => (
            <select id={id} value={days} onChange={(event) => setDays(event.target.value)}>
              {Object.entries(LIVES).map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="USD a day at most">
          {(id) => <input id={id} type="number" min={0} step="any" value={cap} placeholder="your own caps" onChange={(event) => setCap(event.target.value)} />}
        </Field>
      </div>
      <Switch label="May also search my messages and read my usage, for MCP" isOn={mayRead} onChange={setMayRead} />
      <div className="row row-end">
        <button type="submit" className="button" disabled={isBusy}>
          Make the key
        </button>
      </div>
    </form>
  );
}

function isAlive(key: Key): boolean {
  return !key.revoked_at && Date.parse(key.expires_at) > Date.now();
}

function stateOf(key: Key): string {
  if (key.revoked_at) return `revoked ${fromNow(key.revoked_at)}`;
  return isAlive(key) ? `until ${dateTime(key.expires_at)}` : 'expired';
}
