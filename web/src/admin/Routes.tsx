import { useQuery } from '@tanstack/react-query';
import { Trash2 } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { count, duration, percent, usd } from '../lib/format';
import { groupBy } from '../lib/group';
import { useAction } from '../lib/hooks';
import { rows, supabase } from '../lib/supabase';
import { type Column, DataTable } from '../ui/DataTable';
import { Failure, Field, Loading } from '../ui/parts';
import type { CatalogueModel } from './CataloguePage';

interface Arm {
  id: number;
  alias: string;
  model_key: string;
  weight: number;
  fallback_order: number;
}

interface ArmResult {
  arm: string;
  turns: number;
  error_rate: number | null;
  mean_cost_usd: number | null;
  mean_ttft_ms: number | null;
  mean_rating: number | null;
}

/** The aliases with their arms, what each arm achieved, and a form for another one. */
export function Routes({ models }: { models: CatalogueModel[] }) {
  const { run, isBusy } = useAction();
  const found = useQuery({
    queryKey: ['routes'],
    queryFn: () => rows<Arm[]>(supabase.from('llm_routes').select('id,alias,model_key,weight,fallback_order').order('alias').order('fallback_order')),
  });
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failure error={found.error} />;
  const remove = (arm: Arm) => run(() => rows(supabase.from('llm_routes').delete().eq('id', arm.id)), { reads: ['routes'] });
  const columns: Column<Arm>[] = [
    { title: 'Model', value: (row) => row.model_key },
    { title: 'Weight', value: (row) => row.weight, isNumber: true },
    { title: 'Order', value: (row) => row.fallback_order, isNumber: true },
    {
      title: 'Remove',
      isAction: true,
      value: () => null,
      show: (row) => (
        <button type="button" className="icon-button" aria-label={`Remove ${row.model_key} from ${row.alias}`} disabled={isBusy} onClick={() => void remove(row)}>
          <Trash2 aria-hidden />
        </button>
      ),
    },
  ];
  return (
    <div className="cards">
      {[...groupBy(found.data, (arm) => arm.alias)].map(([alias, arms]) => (
        <section key={alias} className="card" aria-label={`Alias ${alias}`}>
          <h3>{alias}</h3>
          <DataTable label={`Arms of ${alias}`} columns={columns} rows={arms} rowKey={(row) => String(row.id)} file={null} />
          <Results alias={alias} />
        </section>
      ))}
      <NewArm models={models} />
    </div>
  );
}

const RESULT_COLUMNS: Column<ArmResult>[] = [
  { title: 'Arm', value: (row) => row.arm },
  { title: 'Turns', value: (row) => row.turns, show: (row) => count(row.turns), isNumber: true },
  { title: 'Errors', value: (row) => row.error_rate, show: (row) => percent(row.error_rate), isNumber: true },
  { title: 'Mean cost', value: (row) => row.mean_cost_usd, show: (row) => usd(row.mean_cost_usd), isNumber: true },
  { title: 'First word', value: (row) => row.mean_ttft_ms, show: (row) => duration(row.mean_ttft_ms), isNumber: true },
  { title: 'Rating', value: (row) => row.mean_rating, isNumber: true },
];

function Results({ alias }: { alias: string }) {
  const found = useQuery({ queryKey: ['ab-results', alias], queryFn: () => rows<ArmResult[]>(supabase.rpc('ab_results', { alias })) });
  if (!found.data?.length) return null;
  return <DataTable label={`Results of ${alias}, last 30 days`} columns={RESULT_COLUMNS} rows={found.data} rowKey={(row) => row.arm} file={`${alias}.csv`} />;
}

function NewArm({ models }: { models: CatalogueModel[] }) {
  const { run, isBusy } = useAction();
  const [alias, setAlias] = useState('');
  const [model, setModel] = useState('');
  const [weight, setWeight] = useState('1');
  async function submit(event: FormEvent) {
    event.preventDefault();
    const arm = { alias: alias.trim(), model_key: model, weight: Number(weight) };
    if (await run(() => rows(supabase.from('llm_routes').insert(arm)), { done: 'The arm is added.', reads: ['routes'] })) setModel('');
  }
  return (
    <form className="card" onSubmit={submit}>
      <h3>Add a model to an alias</h3>
      <div className="fields">
        <Field label="Alias">{(id) => <input id={id} required value={alias} maxLength={60} onChange={(event) => setAlias(event.target.value)} />}</Field>
        <Field label="Model">
          {(id) => (
            <select id={id} required value={model} onChange={(event) => setModel(event.target.value)}>
              <option value="">Choose a model</option>
              {models.filter((each) => each.is_active).map((each) => (
                <option key={each.model_key} value={each.model_key}>
                  {each.model_name}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Weight">{(id) => <input id={id} type="number" min={0} step="any" required value={weight} onChange={(event) => setWeight(event.target.value)} />}</Field>
      </div>
      <div className="row row-end">
        <button type="submit" className="button" disabled={isBusy}>
          Add
        </button>
      </div>
    </form>
  );
}
