import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { useAction, useTitle } from '../lib/hooks';
import { rows, supabase } from '../lib/supabase';
import { Failure, Field, Loading, Page, Section } from '../ui/parts';
import { Alerts } from './Alerts';

interface CapsRow {
  scope: string;
  daily_requests: number | null;
  daily_cost_usd: number | null;
  monthly_cost_usd: number | null;
  requests_per_minute?: number | null;
  degrade_at?: number | null;
  degrade_to?: string | null;
}

type CapName = 'daily_requests' | 'daily_cost_usd' | 'monthly_cost_usd';
const CAPS: { name: CapName; label: string }[] = [
  { name: 'daily_requests', label: 'Questions a day' },
  { name: 'daily_cost_usd', label: 'USD a day' },
  { name: 'monthly_cost_usd', label: 'USD a month' },
];
const SCOPES: Record<string, string> = {
  global: 'All users together',
  default: 'Each user',
  anonymous: 'Each user without an account',
};

/** The caps of all users together, of each user, and of single users. */
export default function LimitsPage() {
  useTitle('Limits');
  const found = useQuery({ queryKey: ['caps'], queryFn: () => rows<CapsRow[]>(supabase.from('usage_limits').select('*').order('scope').limit(500)) });
  const order = (row: CapsRow) => (row.scope in SCOPES ? Object.keys(SCOPES).indexOf(row.scope) : 9);
  return (
    <Page title="Limits" lead="An empty field is no cap. A running answer counts with the most it can cost.">
      {found.isPending && <Loading />}
      {found.isError && <Failure error={found.error} onRetry={() => void found.refetch()} />}
      <Section title="Caps">
        <div className="cards">
          {found.data?.toSorted((a, b) => order(a) - order(b)).map((row) => (
            <CapsForm key={row.scope} row={row} />
          ))}
          <NewCaps known={found.data ?? []} />
        </div>
      </Section>
      <Section title="Alerts" lead="Thresholds that spending crossed.">
        <Alerts />
      </Section>
    </Page>
  );
}

function CapsForm({ row }: { row: CapsRow }) {
  const { run, isBusy } = useAction();
  const [values, setValues] = useState(() => Object.fromEntries(CAPS.map(({ name }) => [name, row[name] == null ? '' : String(row[name])])) as Record<CapName, string>);
  const isChanged = CAPS.some(({ name }) => (values[name] === '' ? null : Number(values[name])) !== row[name]);
  const isPerson = !(row.scope in SCOPES);
  function submit(event: FormEvent) {
    event.preventDefault();
    const changes = Object.fromEntries(CAPS.map(({ name }) => [name, values[name] === '' ? null : Number(values[name])]));
    void run(() => rows(supabase.from('usage_limits').update(changes).eq('scope', row.scope)), { done: 'The caps are saved.', reads: ['caps', 'limits'] });
  }
  const remove = () => run(() => rows(supabase.from('usage_limits').delete().eq('scope', row.scope)), { done: 'The caps of each user count again.', reads: ['caps', 'limits'] });
  return (
    <form className="card" onSubmit={submit} aria-label={SCOPES[row.scope] ?? row.scope}>
      <div className="card-head">
        <h3>{SCOPES[row.scope] ?? `User ${row.scope}`}</h3>
        {isPerson && (
          <button type="button" className="button button-quiet button-small" disabled={isBusy} onClick={() => void remove()}>
            Remove
          </button>
        )}
        <button type="submit" className="button button-small" disabled={isBusy || !isChanged}>
          Save
        </button>
      </div>
      <div className="fields">
        {CAPS.map(({ name, label }) => (
          <Field key={name} label={label}>
            {(id) => (
              <input id={id} type="number" min={0} step={name === 'daily_requests' ? 1 : 'any'} placeholder="no cap" value={values[name]} onChange={(event) => setValues({ ...values, [name]: event.target.value })} />
            )}
          </Field>
        ))}
      </div>
    </form>
  );
}

function NewCaps({ known }: { known: CapsRow[] }) {
  const { run, isBusy } = useAction();
  const [id, setId] = useState('');
  const isKnown = known.some((row) => row.scope === id.trim());
  async function submit(event: FormEvent) {
    event.preventDefault();
    const caps = known.find((row) => row.scope === 'default');
    const copied = [...CAPS.map(({ name }) => name), 'requests_per_minute', 'degrade_at', 'degrade_to'] as const;
    const row = { scope: id.trim(), ...Object.fromEntries(copied.map((name) => [name, caps?.[name] ?? null])) };
    if (await run(() => rows(supabase.from('usage_limits').insert(row)), { done: 'Now change the caps of this user.', reads: ['caps'] })) setId('');
  }
  return (
    <form className="card" onSubmit={submit}>
      <h3>Caps of one user</h3>
      <Field label="User id" hint="The row begins with the caps of each user, and replaces them as a whole.">
        {(field, hint) => <input id={field} aria-describedby={hint} required pattern="[0-9a-fA-F\-]{36}" value={id} spellCheck={false} onChange={(event) => setId(event.target.value)} />}
      </Field>
      <div className="row row-end">
        <button type="submit" className="button" disabled={isBusy || isKnown}>
          Add
        </button>
      </div>
    </form>
  );
}
