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
  requests_per_minute: number | null;
  degrade_at: number | null;
  degrade_to: string | null;
}

type CapName = Exclude<keyof CapsRow, 'scope' | 'degrade_to'>;
interface CapField {
  name: CapName;
  label: string;
  input: { step: number | 'any'; min: number; max?: number; placeholder?: string };
}
const CAPS: CapField[] = [
  { name: 'daily_requests', label: 'Questions a day', input: { step: 1, min: 0 } },
  { name: 'requests_per_minute', label: 'Questions a minute', input: { step: 1, min: 1, max: 1000 } },
  { name: 'daily_cost_usd', label: 'USD a day', input: { step: 'any', min: 0 } },
  { name: 'monthly_cost_usd', label: 'USD a month', input: { step: 'any', min: 0 } },
  { name: 'degrade_at', label: 'Cheaper from this share of a cap', input: { step: 0.001, min: 0.001, max: 0.999, placeholder: 'never' } },
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
  const fields = CAPS.filter(({ name }) => row.scope !== 'global' || name !== 'requests_per_minute');
  const [values, setValues] = useState(() => Object.fromEntries(fields.map(({ name }) => [name, row[name] == null ? '' : String(row[name])])) as Record<CapName, string>);
  const [alias, setAlias] = useState(row.degrade_to ?? '');
  const isCheaper = values.degrade_at !== '';
  const changes = {
    ...Object.fromEntries(fields.map(({ name }) => [name, values[name] === '' ? null : Number(values[name])])),
    degrade_to: isCheaper ? alias.trim() : null,
  } as Partial<CapsRow>;
  const isChanged = Object.entries(changes).some(([name, value]) => value !== row[name as keyof CapsRow]);
  const isPerson = !(row.scope in SCOPES);
  function submit(event: FormEvent) {
    event.preventDefault();
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
        {fields.map(({ name, label, input }) => (
          <Field key={name} label={label}>
            {(id) => <input id={id} type="number" placeholder="no cap" {...input} value={values[name]} onChange={(event) => setValues({ ...values, [name]: event.target.value })} />}
          </Field>
        ))}
        {isCheaper && (
          <Field label="Alias or policy that then answers">
            {(id) => <input id={id} required pattern="[a-z][a-z0-9\-]{0,39}" placeholder="cheap" spellCheck={false} value={alias} onChange={(event) => setAlias(event.target.value)} />}
          </Field>
        )}
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
    const copied = [...CAPS.map(({ name }) => name), 'degrade_to'] as const;
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
