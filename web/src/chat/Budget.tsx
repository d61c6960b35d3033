import { Link } from 'wouter';
import { count, usd } from '../lib/format';
import { type Limit, useLimits } from '../lib/usage';

/** What is left today, beside the input; a link to all caps. */
export function Budget() {
  const limits = useLimits();
  const left = remaining(limits.data);
  if (!left) return <span className="budget" />;
  return (
    <Link href="/usage" className={left.isLow ? 'budget budget-low' : 'budget'} title="What is left of your caps">
      {left.text} <span className="budget-when">{left.when}</span>
    </Link>
  );
}

/** The tightest amount of money, or the turns of the day, as text; null without any cap. */
export function remaining(limits: Limit[] | undefined): { text: string; when: string; isLow: boolean } | null {
  const capped = (limits ?? []).filter((each) => each.max_cost_usd != null);
  const left = capped.map((each) => ({ period: each.period, cap: each.max_cost_usd!, usd: each.max_cost_usd! - each.spent_usd - each.reserved_usd }));
  const tightest = left.sort((a, b) => a.usd - b.usd)[0];
  if (tightest) {
    const when = tightest.period === 'day' ? 'today' : 'this month';
    return { text: `${usd(Math.max(0, tightest.usd))} left`, when, isLow: tightest.usd < tightest.cap / 10 };
  }
  const day = limits?.find((each) => each.period === 'day' && each.max_requests != null);
  if (!day) return null;
  const turns = Math.max(0, day.max_requests! - day.requests);
  return { text: `${count(turns)} questions left`, when: 'today', isLow: turns < day.max_requests! / 10 };
}
