import { count, dateTime, fromNow, usd } from '../lib/format';
import { type Limit, monthForecast, runsOutAt } from '../lib/usage';

/** What is spent and left of each cap, and when it runs out at the pace so far. */
export function Caps({ limits }: { limits: Limit[] }) {
  return (
    <div className="tiles">
      {limits.map((limit) => (
        <Cap key={limit.period} limit={limit} />
      ))}
    </div>
  );
}

function Cap({ limit }: { limit: Limit }) {
  const { max_cost_usd: cap, max_requests: turns } = limit;
  const used = limit.spent_usd + limit.reserved_usd;
  const forecast = limit.period === 'month' ? monthForecast(limit.spent_usd) : null;
  const end = runsOutAt(limit);
  const title = limit.period === 'day' ? 'Today' : 'This month';
  return (
    <div className="tile tile-cap" role="group" aria-label={title}>
      <h2>{title}</h2>
      <p className="tile-value">
        {usd(limit.spent_usd)}
        <span className="hint">{cap == null ? ' spent, no cap' : ` of ${usd(cap)}`}</span>
      </p>
      {cap != null && <meter aria-label={`${title}: share of the cap`} min={0} max={cap} low={cap * 0.8} high={cap * 0.95} optimum={0} value={used} />}
      <p className="hint">
        {cap != null && `${usd(Math.max(0, cap - used))} left. `}
        {turns != null && `${count(limit.requests)} of ${count(turns)} questions. `}
        Resets {fromNow(limit.resets_at)}.
      </p>
      {end && <p className="tile-warning">At this pace it runs out on {dateTime(end)}.</p>}
      {forecast != null && limit.spent_usd > 0 && <p className="hint">At this pace the month costs {usd(forecast)}.</p>}
    </div>
  );
}
