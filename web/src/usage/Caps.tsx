import { count, dateTime, fromNow, percent, usd } from '../lib/format';
import type { Cap as CapRow } from '../lib/reports';

/** What is spent and left of each cap, and when it runs out by the forecast. */
export function Caps({ limits }: { limits: CapRow[] }) {
  return (
    <div className="tiles">
      {limits.map((limit) => (limit.period === 'minute' ? <Minute key="minute" limit={limit} /> : <Cap key={limit.period} limit={limit} />))}
    </div>
  );
}

function Minute({ limit }: { limit: CapRow }) {
  const left = Math.max(0, (limit.max_requests ?? 0) - limit.requests);
  return (
    <div className="tile tile-cap" role="group" aria-label="Last minute">
      <h2>Last minute</h2>
      <p className="tile-value">
        {count(limit.requests)}
        <span className="hint"> of {count(limit.max_requests ?? 0)} questions</span>
      </p>
      <p className="hint">{left > 0 ? `${count(left)} left.` : 'The next question is possible within a minute.'}</p>
    </div>
  );
}

function Cap({ limit }: { limit: CapRow }) {
  const { max_cost_usd: cap, max_requests: turns } = limit;
  const used = limit.spent_usd + limit.reserved_usd;
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
        {limit.resets_at && `Resets ${fromNow(limit.resets_at)}.`}
      </p>
      {limit.is_degraded && <p className="tile-warning">More than {percent(limit.degrade_at)} of the cap is used, so cheaper models answer.</p>}
      {limit.runs_out_at && <p className="tile-warning">As you use it, it runs out on {dateTime(limit.runs_out_at)}.</p>}
      {limit.forecast_usd != null && (
        <p className="hint">
          Forecast: {usd(limit.forecast_usd)}, between {usd(limit.low_usd)} and {usd(limit.high_usd)}.
        </p>
      )}
    </div>
  );
}
