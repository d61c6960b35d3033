import { useQuery } from '@tanstack/react-query';
import { rows, supabase } from './supabase';
import { utcDay } from './format';
import { groupBy } from './group';

export interface Limit {
  period: 'day' | 'month' | 'minute';
  period_start: string | null;
  resets_at: string | null;
  max_requests: number | null;
  requests: number;
  max_cost_usd: number | null;
  spent_usd: number;
  reserved_usd: number;
  degrade_at: number | null;
  degrade_to: string | null;
  is_degraded: boolean;
}

export interface UsageRow {
  day: string;
  provider: string;
  model_identifier: string;
  agent_type: string;
  endpoint: string;
  user_id: string | null;
  requests: number;
  errors: number;
  input_tokens: number;
  output_tokens: number;
  cost_usd: number;
  duration_ms_sum: number;
  ttft_ms_sum: number;
  ttft_count: number;
  unpriced_requests: number;
}

/** The user's caps and use of this day and this month (UTC). */
export function useLimits() {
  return useQuery({ queryKey: ['limits'], queryFn: () => rows<Limit[]>(supabase.rpc('my_limits')), refetchInterval: 60_000 });
}

/** The day `back` days before today, in UTC. */
export function daysAgo(back: number, now = new Date()): string {
  return utcDay(new Date(now.getTime() - back * 86_400_000));
}

const KEY = ['day', 'user_id', 'provider', 'model_identifier', 'agent_type', 'endpoint'] as const; // pages need a total order

/** Sums of the days from `from` to `to`; of one user, or of all users for an admin (`userId` null). */
export async function usageRows(userId: string | null, from: string, to: string): Promise<UsageRow[]> {
  const found: UsageRow[] = [];
  for (;;) {
    let query = supabase.from('usage_daily').select('*').gte('day', from).lte('day', to);
    if (userId) query = query.eq('user_id', userId);
    for (const column of KEY) query = query.order(column);
    const page = await rows<UsageRow[]>(query.range(found.length, found.length + 999));
    found.push(...page);
    if (page.length < 1000) return found;
  }
}

export function useUsage(userId: string | null, from: string, to: string) {
  return useQuery({ queryKey: ['usage', userId, from, to], queryFn: () => usageRows(userId, from, to), staleTime: 30_000 });
}

export interface Sum {
  key: string;
  requests: number;
  errors: number;
  tokens: number;
  cost_usd: number;
  unpriced: number;
  mean_ms: number | null;
  mean_ttft_ms: number | null;
}

/** Sums by a key, the dearest first, then the most used. */
export function sumBy(found: UsageRow[], key: (row: UsageRow) => string): Sum[] {
  const groups = groupBy(found, key);
  return [...groups].map(([name, group]) => sumOf(name, group)).sort((a, b) => b.cost_usd - a.cost_usd || b.requests - a.requests);
}

/** The sum of all rows. */
export function sumOf(name: string, found: UsageRow[]): Sum {
  const add = (value: (row: UsageRow) => number) => found.reduce((sum, row) => sum + value(row), 0);
  const requests = add((row) => row.requests);
  const answered = add((row) => row.ttft_count);
  return {
    key: name,
    requests,
    errors: add((row) => row.errors),
    tokens: add((row) => row.input_tokens + row.output_tokens),
    cost_usd: add((row) => row.cost_usd),
    unpriced: add((row) => row.unpriced_requests),
    mean_ms: requests ? add((row) => row.duration_ms_sum) / requests : null,
    mean_ttft_ms: answered ? add((row) => row.ttft_ms_sum) / answered : null,
  };
}

/** All days of a span, so that charts show days without use. */
export function daysBetween(from: string, to: string): string[] {
  const days: string[] = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += 86_400_000) days.push(utcDay(new Date(at)));
  return days;
}
