import { useQuery } from '@tanstack/react-query';
import { rows, supabase } from './supabase';
import { utcDay } from './format';

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

/** Sums of turns with the same key. */
export interface Sum {
  /** Null for deleted users; `other` for what is beyond the first hundred. */
  key: string | null;
  requests: number;
  errors: number;
  input_tokens: number;
  output_tokens: number;
  cost_usd: number;
  unpriced_requests: number;
  mean_ms: number | null;
  mean_ttft_ms: number | null;
}

export interface Total extends Omit<Sum, 'key'> {
  /** How many users. */
  people: number;
}

export interface Overview {
  days: Sum[];
  models: Sum[];
  agents: Sum[];
  endpoints: Sum[];
  people: Sum[];
  total: Total;
  /** As many days before. */
  before: Total;
  first_day: string | null;
}

/** What a chart shows of a day; null when there is no value. */
export interface Point {
  day: string;
  value: number | null;
}

export type Filters = Record<string, string>;

/** The user's caps and use of this day and this month (UTC). */
export function useLimits() {
  return useQuery({ queryKey: ['limits'], queryFn: () => rows<Limit[]>(supabase.rpc('my_limits')), refetchInterval: 60_000 });
}

/** The day `back` days before today, in UTC. */
export function daysAgo(back: number, now = new Date()): string {
  return utcDay(new Date(now.getTime() - back * 86_400_000));
}

/** The sums of the last days until today (UTC), and the total of as many days before. */
export function useOverview(days: number, filters: Filters) {
  return useQuery({
    queryKey: ['usage', 'overview', days, filters],
    staleTime: 30_000,
    queryFn: () => rows<Overview>(supabase.rpc('usage_overview', { from: daysAgo(days - 1), to: daysAgo(-1), filters })),
  });
}

export const tokensOf = (sum: Omit<Sum, 'key'>) => sum.input_tokens + sum.output_tokens;

/** The value of each day, zero on a day without use; none before the first use. */
export function pointsOf(overview: Overview, days: number, value: (sum: Sum) => number | null | undefined, ofNone: number | null = 0): Point[] {
  const byDay = new Map(overview.days.map((each) => [each.key, each]));
  const { first_day: first } = overview;
  return daysBetween(daysAgo(days - 1), daysAgo(0)).map((day) => {
    const missing = first && day >= first ? ofNone : null;
    return { day, value: byDay.has(day) ? (value(byDay.get(day)!) ?? missing) : missing };
  });
}

/** All days of a span. */
export function daysBetween(from: string, to: string): string[] {
  const days: string[] = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += 86_400_000) days.push(utcDay(new Date(at)));
  return days;
}
