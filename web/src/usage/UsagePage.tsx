import { useQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import { useUser } from '../auth/AuthProvider';
import { type Conversation, titleOf } from '../lib/conversations';
import { count, usd } from '../lib/format';
import { useParameter, useTitle } from '../lib/hooks';
import { modelName, useModels } from '../lib/models';
import { rows, supabase } from '../lib/supabase';
import { daysAgo, daysBetween, sumBy, sumOf, type UsageRow, useLimits, useUsage } from '../lib/usage';
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
  const limits = useLimits();
  const [from, to] = [daysAgo(Number(span) - 1), daysAgo(0)];
  const usage = useUsage(user.id, from, to);
  useTitle('Usage');
  return (
    <Page title="Your usage" lead="Days and months are those of UTC. Amounts are US dollars." actions={<SpanSelect span={span} onChange={setSpan} />}>
      {limits.isError && <Failure error={limits.error} onRetry={() => void limits.refetch()} />}
      {limits.data && <Caps limits={limits.data} />}
      {usage.isPending && <Loading label="Adding up" />}
      {usage.isError && <Failure error={usage.error} onRetry={() => void usage.refetch()} />}
      {usage.data && <Breakdown found={usage.data} days={daysBetween(from, to)} />}
      <Section title="Your year" lead="Questions on each day.">
        <Year userId={user.id} />
      </Section>
      <Section title="By conversation" lead="The dearest ones, over their whole life. Members pay for their own questions.">
        <ByConversation userId={user.id} />
      </Section>
    </Page>
  );
}

function Breakdown({ found, days }: { found: UsageRow[]; days: string[] }) {
  const models = useModels();
  const byDay = new Map(sumBy(found, (row) => row.day).map((each) => [each.key, each]));
  const total = sumOf('all', found);
  return (
    <>
      <Section title="In this span" lead={`${usd(total.cost_usd)} for ${count(total.requests)} questions and ${count(total.tokens)} tokens${total.unpriced ? `; ${count(total.unpriced)} without a known price` : ''}.`}>
        <div className="charts">
          <Chart title="Cost" kind="bars" format={usd} file="cost.csv" points={days.map((day) => ({ day, value: byDay.get(day)?.cost_usd ?? 0 }))} />
          <Chart title="Questions" kind="bars" format={count} file="questions.csv" points={days.map((day) => ({ day, value: byDay.get(day)?.requests ?? 0 }))} />
        </div>
      </Section>
      <Section title="By model">
        <DataTable
          label="Use by model"
          columns={sumColumns('Model', (key) => modelName(key, models.data) || 'none answered')}
          rows={sumBy(found, (row) => row.model_identifier)}
          rowKey={(row) => row.key}
          file="models.csv"
          empty="No question in this span."
        />
      </Section>
    </>
  );
}

function Year({ userId }: { userId: string }) {
  const [from, to] = [daysAgo(364), daysAgo(0)];
  const usage = useUsage(userId, from, to);
  if (usage.isPending) return <Loading label="Adding up" />;
  if (usage.isError) return <Failure error={usage.error} />;
  const byDay = new Map(sumBy(usage.data, (row) => row.day).map((each) => [each.key, each.requests]));
  return <Heatmap days={daysBetween(from, to).map((day) => ({ day, value: byDay.get(day) ?? 0 }))} />;
}

type Dear = Pick<Conversation, 'id' | 'title' | 'total_cost' | 'total_tokens_used' | 'last_activity'>;
const COLUMNS: Column<Dear>[] = [
  { title: 'Conversation', value: titleOf, show: (row) => <Link href={`/c/${row.id}`}>{titleOf(row)}</Link> },
  { title: 'Cost', value: (row) => row.total_cost, show: (row) => usd(row.total_cost), isNumber: true },
  { title: 'Tokens', value: (row) => row.total_tokens_used, show: (row) => count(row.total_tokens_used), isNumber: true },
];

function ByConversation({ userId }: { userId: string }) {
  const found = useQuery({
    queryKey: ['usage', 'conversations', userId],
    queryFn: () => {
      const query = supabase.from('llm_conversations').select('id,title,total_cost,total_tokens_used,last_activity').eq('user_id', userId);
      return rows<Dear[]>(query.order('total_cost', { ascending: false }).order('total_tokens_used', { ascending: false }).limit(20));
    },
  });
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failure error={found.error} />;
  return <DataTable label="Use by conversation" columns={COLUMNS} rows={found.data} rowKey={(row) => row.id} file="conversations.csv" empty="No conversation yet." />;
}
