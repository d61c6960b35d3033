import { count } from '../lib/format';

interface Day {
  day: string;
  value: number;
}

const LEVELS = 4;

/** On a narrow screen the newest days are shown first. */
function showToday(element: HTMLElement | null): void {
  if (element) element.scrollLeft = element.scrollWidth;
}

/** A year as weeks of seven squares, darker on days with more; the sum is in words. */
export function Heatmap({ days }: { days: Day[] }) {
  const top = Math.max(1, ...days.map((each) => each.value));
  const active = days.filter((each) => each.value > 0);
  const busiest = active.reduce<Day | null>((best, each) => (best && best.value >= each.value ? best : each), null);
  const offset = (new Date(`${days[0]?.day}T00:00:00Z`).getUTCDay() + 6) % 7;
  const words = busiest ? `${active.length} active ${active.length === 1 ? 'day' : 'days'}; the busiest was ${busiest.day} with ${count(busiest.value)}.` : 'No question in this year yet.';
  return (
    <div>
      <div className="heatmap-scroll" ref={showToday} tabIndex={0} role="img" aria-label={`Questions on each day of the year. ${words}`}>
        <div className="heatmap">
          {Array.from({ length: offset }, (_, index) => (
            <span key={`before-${index}`} className="heat heat-none" />
          ))}
          {days.map(({ day, value }) => (
            <span key={day} className={`heat heat-${value && Math.ceil((value / top) * LEVELS)}`} title={`${day}: ${count(value)}`} />
          ))}
        </div>
      </div>
      <p className="hint">{words}</p>
    </div>
  );
}
