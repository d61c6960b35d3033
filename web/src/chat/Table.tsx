import { Download } from 'lucide-react';
import { type TableHTMLAttributes, useRef } from 'react';
import { download, toCsv } from '../lib/csv';

/** A table of an answer: it scrolls sideways inside its frame, and can be saved as CSV. */
export function Table({ children }: TableHTMLAttributes<HTMLTableElement>) {
  const table = useRef<HTMLTableElement>(null);
  const save = () => {
    const lines = [...table.current!.rows].map((row) => [...row.cells].map((cell) => cell.textContent ?? ''));
    download('table.csv', 'text/csv', toCsv(lines[0] ?? [], lines.slice(1)));
  };
  return (
    <figure className="table-block">
      <div className="table-scroll" tabIndex={0} role="region" aria-label="Table">
        <table ref={table}>{children}</table>
      </div>
      <button type="button" className="icon-button" aria-label="Save the table as CSV" title="Save as CSV" onClick={save}>
        <Download aria-hidden />
      </button>
    </figure>
  );
}
