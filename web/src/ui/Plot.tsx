import { Area, AreaChart, Bar, BarChart, CartesianGrid, ResponsiveContainer, Tooltip, XAxis, YAxis } from 'recharts';
import type { Point } from '../lib/usage';

const short = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', timeZone: 'UTC' });
const dayText = (day: unknown) => short.format(new Date(`${String(day)}T00:00:00Z`));
const MAX_BARS = 120; // more are thinner than a pixel on a phone
const MARGIN = { top: 6, right: 4, bottom: 0, left: 0 };

/** A dot for a day between days without a value, which no line shows. Recharts overwrites a property `points`. */
function Lone({ days, cx, cy, index = 0 }: { days: Point[]; cx?: number; cy?: number; index?: number }) {
  const hasValue = (at: number) => days[at]?.value != null;
  return hasValue(index) && !hasValue(index - 1) && !hasValue(index + 1) ? <circle cx={cx} cy={cy} r={3} fill="var(--accent)" /> : null;
}

/** The drawing of a chart; its module loads Recharts, so it is loaded when the first chart is shown. */
export default function Plot({ points, kind, format, mark }: {
  points: Point[];
  kind: 'bars' | 'line';
  format: (value: number | null) => string;
  mark: ((value: number) => string) | undefined;
}) {
  const shared = [
    <CartesianGrid key="grid" vertical={false} stroke="var(--line)" />,
    <XAxis key="x" dataKey="day" tickFormatter={dayText} tickLine={false} axisLine={false} minTickGap={28} stroke="var(--quiet)" fontSize={12} />,
    <YAxis key="y" allowDecimals={points.some((each) => each.value !== null && !Number.isInteger(each.value))} tickFormatter={mark ?? format} tickLine={false} axisLine={false} width={58} stroke="var(--quiet)" fontSize={12} />,
    <Tooltip
      key="tip"
      cursor={{ fill: 'var(--hover)' }}
      isAnimationActive={false}
      labelFormatter={dayText}
      formatter={(value) => [format(Number(value)), '']}
      separator=""
      contentStyle={{ background: 'var(--surface)', border: '1px solid var(--line)', borderRadius: 8, fontSize: 13 }}
      labelStyle={{ color: 'var(--quiet)' }}
      itemStyle={{ color: 'var(--ink)' }}
    />,
  ];
  return (
    <ResponsiveContainer width="100%" height="100%">
      {kind === 'bars' && points.length <= MAX_BARS ? (
        <BarChart data={points} margin={MARGIN} accessibilityLayer={false}>
          {shared}
          <Bar dataKey="value" fill="var(--accent)" radius={[3, 3, 0, 0]} maxBarSize={28} isAnimationActive={false} />
        </BarChart>
      ) : (
        <AreaChart data={points} margin={MARGIN} accessibilityLayer={false}>
          {shared}
          <Area dataKey="value" stroke="var(--accent)" strokeWidth={2} fill="var(--accent-soft)" isAnimationActive={false} dot={<Lone days={points} />} />
        </AreaChart>
      )}
    </ResponsiveContainer>
  );
}
