import { useQuery } from '@tanstack/react-query';
import { rows, supabase } from './supabase';
import { daysAgo, type Filters, type Limit } from './usage';

/** One row of `usage_report`: the value of a metric with its sample size; null without a sample. */
export interface Figure {
  bucket_start: string | null;
  value: number | null;
  n: number;
}

interface Span {
  /** UTC days; `to` does not count. */
  from: string;
  to: string;
}

async function report(metric: string, { from, to }: Span, filters: Filters, bucket: 'day' | null = null): Promise<Figure[]> {
  return rows<Figure[]>(supabase.rpc('usage_report', { metric, bucket, from: `${from}T00:00:00Z`, to: `${to}T00:00:00Z`, filters }));
}

export const TIMES = ['ttft_p50', 'ttft_p95', 'duration_p50', 'duration_p95', 'satisfaction'] as const;
export type Measure = (typeof TIMES)[number];
export type Measured = Record<Measure, { now: Figure | undefined; before: Figure | undefined }>;

/** Percentiles and ratings of the last days and of as many days before. */
export function useMeasures(days: number, filters: Filters) {
  return useQuery({
    queryKey: ['usage', 'measures', days, filters],
    staleTime: 30_000,
    queryFn: async () => {
      const [now, before] = [{ from: daysAgo(days - 1), to: daysAgo(-1) }, { from: daysAgo(2 * days - 1), to: daysAgo(days - 1) }];
      const one = async (metric: Measure, span: Span) => (await report(metric, span, filters))[0];
      const both = async (name: Measure) => {
        const [value, past] = await Promise.all([one(name, now), one(name, before)]);
        return [name, { now: value, before: past }] as const;
      };
      const [daily, ...found] = await Promise.all([report('ttft_p50', now, filters, 'day'), ...TIMES.map(both)]);
      return {
        measured: Object.fromEntries(found) as Measured,
        firstWord: new Map(daily.map((each) => [each.bucket_start?.slice(0, 10) ?? '', each.value])),
      };
    },
  });
}

export interface Forecast {
  period: 'day' | 'month';
  forecast_usd: number | null;
  low_usd: number | null;
  high_usd: number | null;
  is_enough_data: boolean;
}

/** What this month will cost all users together. */
export function useMonthForecast() {
  return useQuery({
    queryKey: ['usage', 'forecast'],
    queryFn: async () => (await rows<Forecast[]>(supabase.rpc('cost_forecast', { scope: 'global' }))).find((each) => each.period === 'month') ?? null,
  });
}

export interface OpenTurn {
  turn_id: string;
  user_id: string | null;
  endpoint: string;
  route: string | null;
  reserved_usd: number | null;
  started_at: string;
  lease_until: string | null;
}

/** The turns that run now, read again every five seconds. */
export function useOpenTurns() {
  return useQuery({ queryKey: ['open-turns'], queryFn: () => rows<OpenTurn[]>(supabase.rpc('open_turns')), refetchInterval: 5000 });
}

export interface ThisHour {
  total_interactions: number;
  total_cost: number;
  avg_response_time: string | null;
}

/** What the current hour has so far. */
export function useThisHour() {
  return useQuery({
    queryKey: ['this-hour'],
    refetchInterval: 30_000,
    queryFn: async () => {
      const found = await rows<{ llm_performance_dashboard: { current_hour: ThisHour } }>(supabase.rpc('llm_dashboard', { period: 'hour' }));
      return found.llm_performance_dashboard.current_hour;
    },
  });
}

export interface Cap extends Limit {
  forecast_usd: number | null;
  low_usd: number | null;
  high_usd: number | null;
  runs_out_at: string | null;
  is_enough_data: boolean | null;
}

export interface MyUsage {
  caps: Cap[] | null;
  by_conversation: { conversation_id: string | null; title: string | null; requests: number; cost_usd: number }[];
  dearest_answers: { turn_id: string; conversation_id: string | null; model: string | null; cost_usd: number; created_at: string }[];
}

/** The user's caps with their forecasts, and what cost most in the last 30 days. */
export function useMyUsage() {
  return useQuery({ queryKey: ['usage', 'mine'], queryFn: () => rows<MyUsage>(supabase.rpc('my_usage')), refetchInterval: 60_000 });
}
