import { useTitle, useParameter } from '../lib/hooks';
import { count, duration, usd } from '../lib/format';
import { modelName, useModels } from '../lib/models';
import { type Filters, useMeasures } from '../lib/reports';
import { daysAgo, daysBetween, type Sum, sumBy, type UsageRow, useUsage } from '../lib/usage';
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
      {usage.data && <Content found={filtered(usage.data, dimension, key)} days={days} filters={filtersOf(dimension, key)} onOnly={(name, value) => setOnly(`${name}:${value}`)} />}
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

function Content({ found, days, filters, onOnly }: { found: UsageRow[]; days: number; filters: Filters | null; onOnly: (dimension: Dimension, key: string) => void }) {
  const models = useModels();
  const measures = useMeasures(days, filters);
  const from = daysAgo(days - 1);
  const now = found.filter((row) => row.day >= from);
  const before = found.filter((row) => row.day < from);
  const byDay = new Map(sumBy(now, (row) => row.day).map((each) => [each.key, each]));
  const points = (value: (sum: Sum) => number) => daysBetween(from, daysAgo(0)).map((day) => ({ day, value: byDay.has(day) ? value(byDay.get(day)!) : 0 }));
  const names: Record<Dimension, (name: string) => string> = {
    model: (name) => modelName(name, models.data) || 'none answered',
    agent: (name) => name || 'none',
    person: (name) => (name === 'null' ? 'deleted users' : name),
    endpoint: (name) => name || 'none',
  };
  return (
    <>
      {measures.isError && <Failure error={measures.error} onRetry={() => void measures.refetch()} />}
      <Tiles now={now} before={before} measured={measures.data?.measured} />
      <div className="charts">
        <Chart title="Cost" kind="bars" format={usd} file="cost.csv" points={points((sum) => sum.cost_usd)} />
        <Chart title="Turns" kind="bars" format={count} file="turns.csv" points={points((sum) => sum.requests)} />
        <Chart title="Errors" kind="bars" format={count} file="errors.csv" points={points((sum) => sum.errors)} />
        <Chart title="First word, median" kind="line" format={duration} file="first-word.csv" points={points((sum) => measures.data?.firstWord.get(sum.key) ?? 0)} />
      </div>
      {(Object.keys(DIMENSIONS) as Dimension[]).map((dimension) => {
        const columns = sumColumns(capital(DIMENSIONS[dimension].title.slice(3)), names[dimension]);
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

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function parseFilter(only: string): [Dimension | null, string] {
  const [name, ...rest] = only.split(':');
  return name && name in DIMENSIONS ? [name as Dimension, rest.join(':')] : [null, ''];
}

/** The same choice for `usage_report`; null for turns of deleted users, which it cannot choose. */
function filtersOf(dimension: Dimension | null, key: string): Filters | null {
  if (!dimension) return {};
  return key === 'null' ? null : { [dimension]: key };
}

function filtered(found: UsageRow[], dimension: Dimension | null, key: string): UsageRow[] {
  if (!dimension) return found;
  const { column } = DIMENSIONS[dimension];
  return found.filter((row) => String(row[column]) === key);
}
