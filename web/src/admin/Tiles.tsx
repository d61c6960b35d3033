import { count, duration, percent, usd } from '../lib/format';
import { type Forecast, type Measure, type Measured, useMonthForecast } from '../lib/reports';
import { tokensOf, type Total } from '../lib/usage';
import { type Column, CsvButton } from '../ui/DataTable';

interface Tile {
  title: string;
  value: number | null;
  before: number | null;
  format: (value: number | null) => string;
  isWorseHigher?: boolean;
  /** How many turns or ratings the value is of; null for sums. */
  sample?: number | null;
  /** In place of the change to the span before. */
  note?: string;
}

const TILE_COLUMNS: Column<Tile>[] = [
  { title: 'Figure', value: (row) => row.title },
  { title: 'This span', value: (row) => row.value },
  { title: 'The span before', value: (row) => row.before },
  { title: 'Sample', value: (row) => row.sample ?? null },
];

const stars = (value: number | null) => (value == null ? '–' : `${value.toFixed(2)} of 5`);

/** The figures of a span beside those of the span before; the CSV has the same values. */
export function Tiles({ sum, past, measured }: { sum: Total; past: Total; measured: Measured | undefined }) {
  const forecast = useMonthForecast();
  const share = ({ errors, requests }: Total) => (requests ? errors / requests : null);
  const measure = (title: string, name: Measure): Tile => {
    const found = measured?.[name];
    return { title, value: found?.now?.value ?? null, before: found?.before?.value ?? null, sample: found?.now?.n ?? null, format: duration, isWorseHigher: true };
  };
  const rated = measure('Satisfaction', 'satisfaction');
  const tiles: Tile[] = [
    { title: 'Cost', value: sum.cost_usd, before: past.cost_usd, format: usd, isWorseHigher: true },
    { title: 'Turns', value: sum.requests, before: past.requests, format: count },
    { title: 'People', value: sum.people, before: past.people, format: count },
    { title: 'Tokens', value: tokensOf(sum), before: tokensOf(past), format: (value) => count(value, true) },
    measure('First word, median', 'ttft_p50'),
    measure('First word, 95 %', 'ttft_p95'),
    measure('Whole time, median', 'duration_p50'),
    measure('Whole time, 95 %', 'duration_p95'),
    { title: 'Errors', value: share(sum), before: share(past), format: percent, isWorseHigher: true },
    { ...rated, format: stars, isWorseHigher: false, note: `${count(rated.sample ?? 0)} ${rated.sample === 1 ? 'rating' : 'ratings'}` },
    { title: 'Unpriced', value: sum.unpriced_requests, before: past.unpriced_requests, format: count, isWorseHigher: true },
    monthTile(forecast.data ?? null),
  ];
  return (
    <>
      <div className="tiles tiles-four">
        {tiles.map((tile) => (
          <div key={tile.title} className="tile" role="group" aria-label={tile.title}>
            <h2>{tile.title}</h2>
            <p className="tile-value">{tile.format(tile.value)}</p>
            {tile.note ? <p className="hint">{tile.note}</p> : <Change tile={tile} />}
          </div>
        ))}
      </div>
      <div className="row tiles-foot">
        <p className="hint">95 %: all but the slowest twentieth were faster.</p>
        <CsvButton label="the figures" file="figures.csv" columns={TILE_COLUMNS} rows={tiles} />
      </div>
    </>
  );
}

function monthTile(forecast: Forecast | null): Tile {
  const { forecast_usd: value = null, low_usd: low, high_usd: high } = forecast ?? {};
  const note = value == null ? 'after three days of use' : `${usd(low)} to ${usd(high)}, all users`;
  return { title: 'This month, forecast', value, before: null, format: (amount) => (amount == null ? '–' : usd(amount)), note };
}

function Change({ tile }: { tile: Tile }) {
  const { value, before } = tile;
  if (value == null || before == null) return <p className="hint">no figure before</p>;
  if (value === before) return <p className="hint">as before</p>;
  if (!before) return <p className="hint">none before</p>;
  const change = value / before - 1;
  if (Math.abs(change) < 0.005) return <p className="hint">as before</p>;
  const isWorse = tile.isWorseHigher && change > 0.1;
  return (
    <p className={isWorse ? 'tile-warning' : 'hint'}>
      {change > 0 ? '▲' : '▼'} {percent(Math.abs(change))} {change > 0 ? 'more' : 'less'}<span className="sr-only"> than before</span>
    </p>
  );
}
