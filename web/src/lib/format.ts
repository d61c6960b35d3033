/** US dollars with as many digits as the amount needs; null is an unknown price. */
export function usd(amount: number | null | undefined): string {
  if (amount == null) return 'unpriced';
  if (amount === 0) return '$0';
  const size = Math.abs(amount);
  if (size < 0.0001) return amount < 0 ? '> −$0.0001' : '< $0.0001';
  const digits = size < 0.01 ? 4 : size < 1 ? 3 : 2;
  return new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', minimumFractionDigits: 2, maximumFractionDigits: digits }).format(amount);
}

/** A count such as 1,234 or 12.3K. */
export function count(value: number | null | undefined, isShort = false): string {
  if (value == null) return '–';
  return new Intl.NumberFormat('en-US', isShort && value >= 10_000 ? { notation: 'compact', maximumFractionDigits: 1 } : {}).format(value);
}

/** The marks of a scale up to an amount, all with the same number of digits. */
export function usdMarks(top: number): (amount: number) => string {
  const digits = Math.min(Math.max(Math.ceil(-Math.log10(top || 1)) + 2, 0), 6);
  return (amount) => (amount === 0 ? '$0' : `$${amount.toFixed(digits)}`);
}

/** Milliseconds as 320 ms, 4.2 s or 2 min 5 s. */
export function duration(milliseconds: number | null | undefined): string {
  if (milliseconds == null) return '–';
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export function percent(share: number | null | undefined): string {
  return share == null ? '–' : new Intl.NumberFormat('en-US', { style: 'percent', maximumFractionDigits: 1 }).format(share);
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [['day', 86_400], ['hour', 3600], ['minute', 60]];

/** A time such as "2 hours ago" or "in 3 days". */
export function fromNow(at: string | Date, now = Date.now()): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return 'now';
}

export function dateTime(at: string | Date): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at));
}

/** A UTC day as text: `2026-11-28`. */
export function utcDay(at: Date): string {
  return at.toISOString().slice(0, 10);
}

/** A price such as $0.15 for a million tokens. */
export function price(perMillion: number | null | undefined): string {
  if (perMillion == null) return 'price unknown';
  if (perMillion === 0) return 'free';
  const text = String(Number(perMillion.toFixed(4)));
  return `$${/\.\d$/.test(text) ? `${text}0` : text}`;
}
