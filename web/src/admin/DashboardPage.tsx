import { useTitle, useParameter } from '../lib/hooks';
import { count, duration, usd, usdMarks } from '../lib/format';
import { modelName, useModels } from '../lib/models';
import { useMeasures } from '../lib/reports';
import { daysAgo, type Filters, type Overview, pointsOf, type Sum, useOverview } from '../lib/usage';
import { sumColumns } from '../usage/columns';
import { SpanSelect } from '../usage/SpanSelect';
import { Chart } from '../ui/Chart';
import { DataTable } from '../ui/DataTable';
import { Failure, Loading, Page, Section } from '../ui/parts';
import { Alerts } from './Alerts';
import { Running } from './Running';
import { Tiles } from './Tiles';
import { Turns } from './Turns';

const DIMENSIONS = {
  model: { title: 'By model', column: 'model_identifier', part: 'models' },
  agent: { title: 'By agent', column: 'agent_type', part: 'agents' },
  person: { title: 'By person', column: 'user_id', part: 'people' },
  endpoint: { title: 'By endpoint', column: 'endpoint', part: 'endpoints' },
} as const;
type Dimension = keyof typeof DIMENSIONS;

/** What all users together used, beside the span before; filters are in the address. */
export default function DashboardPage() {
  const [span, setSpan] = useParameter('days', '30');
  const [only, setOnly] = useParameter('only', '');
  const days = Number(span);
  const [dimension, key] = parseFilter(only);
  const filters = dimension ? { [dimension]: key } : {};
  const usage = useOverview(days, filters);
  useTitle('Dashboard');
  return (
    <Page title="Dashboard" lead={`All users together, beside the ${days} days before. Days are those of UTC.`} actions={<SpanSelect span={span} onChange={setSpan} />}>
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
      {usage.data && <Content overview={usage.data} days={days} filters={filters} onOnly={(name, value) => setOnly(`${name}:${value}`)} />}
      <Section title="Running now" lead="All turns that are being answered.">
        <Running />
      </Section>
      <Section title="Alerts" lead="Thresholds that spending crossed.">
        <Alerts />
      </Section>
      <Section title="Turns" lead="The newest turns of this selection.">
        <Turns from={daysAgo(days - 1)} column={dimension && DIMENSIONS[dimension].column} value={key} />
      </Section>
    </Page>
  );
}

function Content({ overview, days, filters, onOnly }: { overview: Overview; days: number; filters: Filters; onOnly: (dimension: Dimension, key: string) => void }) {
  const models = useModels();
  const measures = useMeasures(days, filters);
  const points = (value: (sum: Sum) => number) => pointsOf(overview, days, value);
  const firstWords = pointsOf(overview, days, (sum) => measures.data?.firstWord.get(sum.key ?? ''), null);
  const names: Record<Dimension, (name: string | null) => string> = {
    model: (name) => modelName(name ?? '', models.data) || 'none answered',
    agent: (name) => name || 'none',
    person: (name) => name ?? 'deleted users',
    endpoint: (name) => name || 'none',
  };
  return (
    <>
      {measures.isError && <Failure error={measures.error} onRetry={() => void measures.refetch()} />}
      <Tiles sum={overview.total} past={overview.before} measured={measures.data?.measured} />
      <div className="charts">
        <Chart title="Cost" kind="bars" format={usd} scale={usdMarks} file="cost.csv" points={points((sum) => sum.cost_usd)} />
        <Chart title="Turns" kind="bars" format={count} file="turns.csv" points={points((sum) => sum.requests)} />
        <Chart title="Errors" kind="bars" format={count} file="errors.csv" points={points((sum) => sum.errors)} />
        <Chart title="First word, median" kind="line" format={duration} file="first-word.csv" points={firstWords} />
      </div>
      {(Object.keys(DIMENSIONS) as Dimension[]).map((dimension) => {
        const { title, part } = DIMENSIONS[dimension];
        const columns = sumColumns(capital(title.slice(3)), names[dimension], 'Turns');
        columns[0] = { ...columns[0]!, show: (row) => <Key name={dimension === 'person' ? shortId(row.key) : names[dimension](row.key)} title={row.key} onChoose={canChoose(row) ? () => onOnly(dimension, row.key!) : undefined} /> };
        return (
          <Section key={dimension} title={title}>
            <DataTable label={title} columns={columns} rows={overview[part]} rowKey={(row) => String(row.key)} file={`${dimension}.csv`} empty="No turn in this span." />
          </Section>
        );
      })}
    </>
  );
}

/** No filter names deleted users, or what is beyond the first hundred. */
const canChoose = (row: Sum) => row.key !== null && row.key !== 'other';

const shortId = (id: string | null) => (id === null ? 'deleted users' : id.slice(0, 8));

function Key({ name, title, onChoose }: { name: string; title: string | null; onChoose: (() => void) | undefined }) {
  if (!onChoose) return name;
  return (
    <button type="button" className="link" title={title ?? undefined} onClick={onChoose}>
      {name}
    </button>
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function parseFilter(only: string): [Dimension | null, string] {
  const [name, ...rest] = only.split(':');
  return name && name in DIMENSIONS ? [name as Dimension, rest.join(':')] : [null, ''];
}
