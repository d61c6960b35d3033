import { useTitle, useParameter } from '../lib/hooks';
import { count, duration, percent, usd } from '../lib/format';
import { modelName, useModels } from '../lib/models';
import { daysAgo, daysBetween, monthForecast, type Sum, sumBy, sumOf, type UsageRow, useUsage } from '../lib/usage';
import { sumColumns } from '../usage/columns';
import { SpanSelect } from '../usage/SpanSelect';
import { Chart } from '../ui/Chart';
import { CsvButton, DataTable, type Column } from '../ui/DataTable';
import { Failure, Loading, Page, Section } from '../ui/parts';
import { Alerts } from './Alerts';
import { Turns } from './Turns';

const DIMENSIONS = {
  model: { title: 'By model', column: 'model_identifier' },
  agent: { title: 'By agent', column: 'agent_type' },
  person: { title: 'By person', column: 'user_id' },
  endpoint: { title: 'By endpoint', column: 'endpoint' },
} as const;
type Dimension = keyof typeof DIMENSIONS;

/** What all users together used, beside the span before; filters are in the address. */
export default function DashboardPage() {
  const [span, setSpan] = useParameter('days', '30');
  const [only, setOnly] = useParameter('only', '');
  const days = Number(span);
  const usage = useUsage(null, daysAgo(2 * days - 1), daysAgo(0));
  const [dimension, key] = parseFilter(only);
  useTitle('Dashboard');
  return (
    <Page title="Dashboard" lead="All users together. Days are those of UTC." actions={<SpanSelect span={span} onChange={setSpan} />}>
      {dimension && (
        <p className="filter">
          Only {DIMENSIONS[dimension].title.toLowerCase().replace('by ', '')} <strong>{key || 'none'}</strong>
          <button type="button" className="button button-small" onClick={() => setOnly('')}>
            Show all
          </button>
        </p>
      )}
      {usage.isPending && <Loading label="Adding up" />}
      {usage.isError && <Failure error={usage.error} onRetry={() => void usage.refetch()} />}
      {usage.data && <Content found={filtered(usage.data, dimension, key)} days={days} onOnly={(name, value) => setOnly(`${name}:${value}`)} />}
      <Section title="Alerts" lead="Thresholds that spending crossed.">
        <Alerts />
      </Section>
      <Section title="Turns" lead="The newest turns of this selection.">
        <Turns from={daysAgo(days - 1)} column={dimension && DIMENSIONS[dimension].column} value={key} />
      </Section>
    </Page>
  );
}

function Content({ found, days, onOnly }: { found: UsageRow[]; days: number; onOnly: (dimension: Dimension, key: string) => void }) {
  const models = useModels();
  const from = daysAgo(days - 1);
  const now = found.filter((row) => row.day >= from);
  const before = found.filter((row) => row.day < from);
  const byDay = new Map(sumBy(now, (row) => row.day).map((each) => [each.key, each]));
  const points = (value: (sum: Sum) => number) => daysBetween(from, daysAgo(0)).map((day) => ({ day, value: byDay.has(day) ? value(byDay.get(day)!) : 0 }));
  const month = sumOf('month', found.filter((row) => row.day >= `${daysAgo(0).slice(0, 8)}01`)).cost_usd;
  const names: Record<Dimension, (name: string) => string> = {
    model: (name) => modelName(name, models.data) || 'none answered',
    agent: (name) => name || 'none',
    person: (name) => (name === 'null' ? 'deleted users' : name),
    endpoint: (name) => name || 'none',
  };
  return (
    <>
      <Tiles now={now} before={before} forecast={monthForecast(month)} />
      <div className="charts">
        <Chart title="Cost" kind="bars" format={usd} file="cost.csv" points={points((sum) => sum.cost_usd)} />
        <Chart title="Turns" kind="bars" format={count} file="turns.csv" points={points((sum) => sum.requests)} />
        <Chart title="Errors" kind="bars" format={count} file="errors.csv" points={points((sum) => sum.errors)} />
        <Chart title="First word" kind="line" format={duration} file="first-word.csv" points={points((sum) => sum.mean_ttft_ms ?? 0)} />
      </div>
      {(Object.keys(DIMENSIONS) as Dimension[]).map((dimension) => {
        const columns = sumColumns(DIMENSIONS[dimension].title.slice(3), names[dimension]);
        columns[0] = {
          ...columns[0]!,
          show: (row) => (
            <button type="button" className="link" onClick={() => onOnly(dimension, row.key)}>
              {names[dimension](row.key)}
            </button>
          ),
        };
        return (
          <Section key={dimension} title={DIMENSIONS[dimension].title}>
            <DataTable
              label={DIMENSIONS[dimension].title}
              columns={columns}
              rows={sumBy(now, (row) => String(row[DIMENSIONS[dimension].column]))}
              rowKey={(row) => row.key}
              file={`${dimension}.csv`}
              empty="No turn in this span."
            />
          </Section>
        );
      })}
    </>
  );
}

interface Tile {
  title: string;
  value: number | null;
  before: number | null;
  format: (value: number | null) => string;
  isWorseHigher?: boolean;
}

const TILE_COLUMNS: Column<Tile>[] = [
  { title: 'Figure', value: (row) => row.title },
  { title: 'This span', value: (row) => row.value },
  { title: 'The span before', value: (row) => row.before },
];

function Tiles({ now, before, forecast }: { now: UsageRow[]; before: UsageRow[]; forecast: number | null }) {
  const [sum, past] = [sumOf('now', now), sumOf('before', before)];
  const people = (found: UsageRow[]) => new Set(found.map((row) => row.user_id)).size;
  const share = ({ errors, requests }: Sum) => (requests ? errors / requests : null);
  const tiles: Tile[] = [
    { title: 'Cost', value: sum.cost_usd, before: past.cost_usd, format: usd, isWorseHigher: true },
    { title: 'Turns', value: sum.requests, before: past.requests, format: count },
    { title: 'People', value: people(now), before: people(before), format: count },
    { title: 'Tokens', value: sum.tokens, before: past.tokens, format: (value) => count(value, true) },
    { title: 'First word', value: sum.mean_ttft_ms, before: past.mean_ttft_ms, format: duration, isWorseHigher: true },
    { title: 'Whole time', value: sum.mean_ms, before: past.mean_ms, format: duration, isWorseHigher: true },
    { title: 'Errors', value: share(sum), before: share(past), format: percent, isWorseHigher: true },
    { title: 'Unpriced', value: sum.unpriced, before: past.unpriced, format: count, isWorseHigher: true },
  ];
  return (
    <>
      <div className="tiles tiles-four">
        {tiles.map((tile) => (
          <div key={tile.title} className="tile" role="group" aria-label={tile.title}>
            <h2>{tile.title}</h2>
            <p className="tile-value">{tile.format(tile.value)}</p>
            <Change tile={tile} />
          </div>
        ))}
      </div>
      <div className="row tiles-foot">
        {forecast != null && <p className="hint">At this pace the month costs {usd(forecast)}.</p>}
        <CsvButton label="the figures" file="figures.csv" columns={TILE_COLUMNS} rows={tiles} />
      </div>
    </>
  );
}

function Change({ tile }: { tile: Tile }) {
  const { value, before } = tile;
  if (value == null || !before) return <p className="hint">no figure before</p>;
  const change = value / before - 1;
  if (Math.abs(change) < 0.005) return <p className="hint">as before</p>;
  const isWorse = tile.isWorseHigher && change > 0.1;
  return (
    <p className={isWorse ? 'tile-warning' : 'hint'}>
      {change > 0 ? '▲' : '▼'} {percent(Math.abs(change))} {change > 0 ? 'more' : 'less'} than before
    </p>
  );
}

function parseFilter(only: string): [Dimension | null, string] {
  const [name, ...rest] = only.split(':');
  return name && name in DIMENSIONS ? [name as Dimension, rest.join(':')] : [null, ''];
}

function filtered(found: UsageRow[], dimension: Dimension | null, key: string): UsageRow[] {
  if (!dimension) return found;
  const { column } = DIMENSIONS[dimension];
  return found.filter((row) => String(row[column]) === key);
}
