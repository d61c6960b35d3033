const SPANS = { '7': 'Last 7 days', '30': 'Last 30 days', '90': 'Last 90 days', '365': 'Last year' };

/** The span of days that a page shows. */
export function SpanSelect({ span, onChange }: { span: string; onChange: (span: string) => void }) {
  return (
    <select className="select-auto" aria-label="Span" value={span} onChange={(event) => onChange(event.target.value)}>
      {Object.entries(SPANS).map(([days, label]) => (
        <option key={days} value={days}>
          {label}
        </option>
      ))}
    </select>
  );
}
