import { Download } from 'lucide-react';
import type { ReactNode } from 'react';
import { type Cell, download, toCsv } from '../lib/csv';

export interface Column<Row> {
  title: string;
  /** The value in the CSV, and what is shown when there is no `show`. */
  value: (row: Row) => Cell;
  show?: (row: Row) => ReactNode;
  isNumber?: boolean;
  /** On one line, such as a time. */
  isWhole?: boolean;
  /** Buttons: the title is for screen readers only. */
  isAction?: boolean;
}

interface Props<Row> {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  /** The name of the CSV; null leaves the button out. */
  file: string | null;
  empty?: string;
}

/** Rows as a table that scrolls in its frame, with the same rows as CSV. */
export function DataTable<Row>({ label, columns, rows, rowKey, file, empty = 'Nothing yet.' }: Props<Row>) {
  if (!rows.length) return <p className="hint">{empty}</p>;
  return (
    <div className="data-table">
      <div className="table-scroll" tabIndex={0} role="region" aria-label={`${label}, table`}>
        <table>
          <thead>
            <tr>
              {columns.map((each) => (
                <th key={each.title} scope="col" className={classOf(each)}>
                  {each.isAction ? <span className="sr-only">{each.title}</span> : each.title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={rowKey(row)}>
                {columns.map((each) => (
                  <td key={each.title} className={classOf(each)}>
                    {each.show ? each.show(row) : (each.value(row) ?? '–')}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {file && <CsvButton label={label} file={file} columns={columns} rows={rows} />}
    </div>
  );
}

function classOf({ isNumber, isWhole, isAction }: Pick<Column<never>, 'isNumber' | 'isWhole' | 'isAction'>): string | undefined {
  if (isAction) return 'action';
  return isNumber ? 'number' : isWhole ? 'whole' : undefined;
}

export function CsvButton<Row>({ label, file, columns, rows }: Pick<Props<Row>, 'label' | 'columns' | 'rows'> & { file: string }) {
  const lines = () => rows.map((row) => columns.map((each) => each.value(row)));
  const titles = columns.map((each) => each.title);
  return (
    <button type="button" className="button button-quiet button-small csv" onClick={() => download(file, 'text/csv', toCsv(titles, lines()))}>
      <Download aria-hidden /> CSV<span className="sr-only"> of {label}</span>
    </button>
  );
}
