import { Link } from 'wouter';
import { useUser } from '../auth/AuthProvider';
import { titleOf } from '../lib/conversations';
import { count, dateTime, usd, usdMarks } from '../lib/format';
import { useParameter, useTitle } from '../lib/hooks';
import { modelName, useModels } from '../lib/models';
import { type MyUsage, useMyUsage } from '../lib/reports';
import { daysAgo, daysBetween, type Overview, pointsOf, tokensOf, useOverview } from '../lib/usage';
import { Chart } from '../ui/Chart';
import { type Column, DataTable } from '../ui/DataTable';
import { Failure, Loading, Page, Section } from '../ui/parts';
import { Caps } from './Caps';
import { Heatmap } from './Heatmap';
import { sumColumns } from './columns';
import { SpanSelect } from './SpanSelect';

/** The user's own use: what is left, when it runs out, and what it was spent on. */
export default function UsagePage() {
  const user = useUser();
  const [span, setSpan] = useParameter('days', '30');
  const mine = useMyUsage();
  const days = Number(span);
  const usage = useOverview(days, { person: user.id });
  useTitle('Usage');
  return (
    <Page title="Your usage" lead="Days and months are those of UTC. Amounts are US dollars." actions={<SpanSelect span={span} onChange={setSpan} />}>
      {mine.isError && <Failure error={mine.error} onRetry={() => void mine.refetch()} />}
      {mine.data?.caps && <Caps limits={mine.data.caps} />}
      {usage.isPending && <Loading label="Adding up" />}
      {usage.isError && <Failure error={usage.error} onRetry={() => void usage.refetch()} />}
      {usage.data && <Breakdown overview={usage.data} days={days} />}
      <Section title="Your year" lead="Questions on each day.">
        <Year userId={user.id} />
      </Section>
      {mine.data && <Dearest mine={mine.data} />}
    </Page>
  );
}

function Breakdown({ overview, days }: { overview: Overview; days: number }) {
  const models = useModels();
  const { total } = overview;
  return (
    <>
      <Section title="In this span" lead={`${usd(total.cost_usd)} for ${count(total.requests)} questions and ${count(tokensOf(total))} tokens${total.unpriced_requests ? `; ${count(total.unpriced_requests)} without a known price` : ''}.`}>
        <div className="charts">
          <Chart title="Cost" kind="bars" format={usd} scale={usdMarks} file="cost.csv" points={pointsOf(overview, days, (sum) => sum.cost_usd)} />
          <Chart title="Questions" kind="bars" format={count} file="questions.csv" points={pointsOf(overview, days, (sum) => sum.requests)} />
        </div>
      </Section>
      <Section title="By model">
        <DataTable
          label="Use by model"
          columns={sumColumns('Model', (key) => modelName(key ?? '', models.data) || 'none answered')}
          rows={overview.models}
          rowKey={(row) => String(row.key)}
          file="models.csv"
          empty="No question in this span."
        />
      </Section>
    </>
  );
}

function Year({ userId }: { userId: string }) {
  const usage = useOverview(365, { person: userId });
  if (usage.isPending) return <Loading label="Adding up" />;
  if (usage.isError) return <Failure error={usage.error} />;
  const byDay = new Map(usage.data.days.map((each) => [each.key, each.requests]));
  return <Heatmap days={daysBetween(daysAgo(364), daysAgo(0)).map((day) => ({ day, value: byDay.get(day) ?? 0 }))} />;
}

const NO_CONVERSATION = 'no conversation';
const CONVERSATIONS: Column<MyUsage['by_conversation'][number]>[] = [
  { title: 'Conversation', value: nameOf, show: (row) => (row.conversation_id ? <Link href={`/c/${row.conversation_id}`}>{nameOf(row)}</Link> : nameOf(row)) },
  { title: 'Cost', value: (row) => row.cost_usd, show: (row) => usd(row.cost_usd), isNumber: true },
  { title: 'Questions', value: (row) => row.requests, show: (row) => count(row.requests), isNumber: true },
];

function nameOf(row: MyUsage['by_conversation'][number]): string {
  return row.conversation_id ? titleOf(row) : NO_CONVERSATION;
}

const answerColumns = (nameModel: (identifier: string) => string): Column<MyUsage['dearest_answers'][number]>[] => [
  { title: 'When', value: (row) => row.created_at, show: (row) => dateTime(row.created_at), isWhole: true },
  { title: 'Model', value: (row) => row.model, show: (row) => nameModel(row.model ?? '') },
  { title: 'Cost', value: (row) => row.cost_usd, show: (row) => usd(row.cost_usd), isNumber: true },
  { title: 'Conversation', value: (row) => row.conversation_id, show: (row) => (row.conversation_id ? <Link href={`/c/${row.conversation_id}`}>Open</Link> : NO_CONVERSATION) },
];

function Dearest({ mine }: { mine: MyUsage }) {
  const models = useModels();
  const columns = answerColumns((identifier) => modelName(identifier, models.data) || '–');
  return (
    <>
      <Section title="By conversation" lead="The dearest ones of the last 30 days, by your own questions.">
        <DataTable label="Use by conversation" columns={CONVERSATIONS} rows={mine.by_conversation} rowKey={(row) => String(row.conversation_id)} file="conversations.csv" empty="No conversation yet." />
      </Section>
      <Section title="Dearest answers" lead="Of the last 30 days.">
        <DataTable label="Dearest answers" columns={columns} rows={mine.dearest_answers} rowKey={(row) => row.turn_id} file="answers.csv" empty="No answer had a price." />
      </Section>
    </>
  );
}
