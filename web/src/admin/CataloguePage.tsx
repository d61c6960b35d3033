import { useQuery } from '@tanstack/react-query';
import { RefreshCw } from 'lucide-react';
import { useState } from 'react';
import { call } from '../lib/api';
import { count, price } from '../lib/format';
import { useAction, useTitle } from '../lib/hooks';
import { abilities, type Model } from '../lib/models';
import { config, rows, supabase } from '../lib/supabase';
import { type Column, DataTable } from '../ui/DataTable';
import { Failure, Loading, Page, Section, Switch } from '../ui/parts';
import { LastRefresh } from './LastRefresh';
import { PriceForm } from './PriceForm';
import { Routes } from './Routes';

export interface CatalogueModel extends Model {
  is_active: boolean;
  replaced_by: string | null;
  retires_on: string | null;
}

/** The models with their prices and switches, the runs of refresh, and the aliases. */
export default function CataloguePage() {
  const action = useAction();
  useTitle('Catalogue');
  const models = useQuery({
    queryKey: ['catalogue'],
    queryFn: () => rows<CatalogueModel[]>(supabase.from('llm_models').select('*').order('is_active', { ascending: false }).order('display_order').order('model_name').limit(1000)),
  });
  const refresh = () =>
    action.run(() => call(config.refreshUrl!, { method: 'POST', body: { steps: ['models'] } }), {
      done: 'The lists of the providers are read.',
      reads: ['catalogue', 'refresh-runs', 'models'],
    });
  const button = config.refreshUrl && (
    <button type="button" className="button" disabled={action.isBusy} onClick={() => void refresh()}>
      <RefreshCw aria-hidden className={action.isBusy ? 'spin' : undefined} /> Refresh now
    </button>
  );
  return (
    <Page title="Catalogue" lead="The models that users can choose. Prices are US dollars for a million tokens: input / output." actions={button}>
      {models.isPending && <Loading />}
      {models.isError && <Failure error={models.error} onRetry={() => void models.refetch()} />}
      {models.data && <Models models={models.data} />}
      <Section title="Refresh" lead="What the last runs changed.">
        <LastRefresh />
      </Section>
      <Section title="Aliases" lead="A name that chooses one of several models by weight. Rows of weight 0 are fallbacks.">
        {models.data && <Routes models={models.data} />}
      </Section>
    </Page>
  );
}

function Models({ models }: { models: CatalogueModel[] }) {
  const [priced, setPriced] = useState<CatalogueModel | null>(null);
  const { run, isBusy } = useAction();
  const change = (id: number, changes: object) =>
    run(() => rows(supabase.from('llm_models').update(changes).eq('id', id)), { reads: ['catalogue', 'models'] });
  const makeDefault = async (model: CatalogueModel) => {
    const before = models.find((each) => each.is_default);
    if (before) await rows(supabase.from('llm_models').update({ is_default: false }).eq('id', before.id));
    await rows(supabase.from('llm_models').update({ is_default: true }).eq('id', model.id));
  };
  const columns: Column<CatalogueModel>[] = [
    { title: 'Model', value: (row) => row.model_name },
    { title: 'Identifier', value: (row) => row.identifier, show: (row) => <span className="mono">{row.identifier}</span> },
    {
      title: 'Price',
      value: (row) => (row.pricing ? `${row.pricing.input}/${row.pricing.output}` : null),
      show: (row) => (
        <button type="button" className="link" onClick={() => setPriced(row)}>
          {row.pricing ? `${price(row.pricing.input)} / ${price(row.pricing.output)}` : 'set a price'}
        </button>
      ),
    },
    { title: 'Context', value: (row) => row.capabilities.context_window, show: (row) => count(row.capabilities.context_window, true), isNumber: true },
    { title: 'Abilities', value: (row) => abilities(row).join(' '), show: (row) => abilities(row).join(', ') || '–' },
    {
      title: 'Offered',
      value: (row) => row.is_active,
      show: (row) => <Switch label={row.replaced_by && !row.is_active ? `retired → ${row.replaced_by}` : ''} name={`Offer ${row.model_name}`} isOn={row.is_active} isDisabled={isBusy} onChange={(isOn) => void change(row.id, { is_active: isOn })} />,
    },
    {
      title: 'Default',
      isAction: true,
      value: (row) => row.is_default,
      show: (row) =>
        row.is_default ? (
          <span className="badge">default</span>
        ) : (
          <button
            type="button"
            className="button button-quiet button-small"
            disabled={isBusy || !row.is_active}
            onClick={() => void run(() => makeDefault(row), { done: `${row.model_name} is the default.`, reads: ['catalogue', 'models'] })}
          >
            Make default<span className="sr-only">: {row.model_name}</span>
          </button>
        ),
    },
  ];
  return (
    <>
      <DataTable label="Models" columns={columns} rows={models} rowKey={(row) => String(row.id)} file="models.csv" />
      {priced && <PriceForm model={priced} onClose={() => setPriced(null)} onSave={(pricing) => change(priced.id, { pricing })} />}
    </>
  );
}
