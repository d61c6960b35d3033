import type { ToolUIPart } from 'ai';
import { plainLine, plainText } from '../lib/text';
import { CodeBlock } from './CodeBlock';
import { queryResult } from './queryResult';

/** What a tool was asked and what it gave: its SQL or arguments, then rows, other output or the error. */
export default function ToolBody({ part, sql }: { part: ToolUIPart; sql: string | null }) {
  return (
    <div className="fold-body">
      {sql ? <CodeBlock code={plainText(sql)} language="sql" /> : <CodeBlock code={pretty(part.input ?? {})} language="json" />}
      {part.state === 'output-error' && <p className="tool-error">{plainText(part.errorText ?? '')}</p>}
      {part.state === 'output-available' && <Output value={part.output} />}
    </div>
  );
}

function Output({ value }: { value: unknown }) {
  const found = queryResult(value);
  if (!found) return <CodeBlock code={pretty(value)} language="json" />;
  const columns = found.columns.map((each) => (typeof each === 'object' && each ? String((each as { name?: unknown }).name) : String(each)));
  const shown = found.rows.slice(0, 100);
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label="Rows">
      <table>
        <thead>
          <tr>
            {columns.map((each, index) => (
              <th key={index} className={alignment(shown[0], each, index)}>
                {plainLine(each, '–')}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row, index) => (
            <tr key={index}>
              {columns.map((name, place) => (
                <td key={place} className={alignment(row, name, place)}>
                  {cell(row, name, place)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {found.rows.length > shown.length && <p className="hint">The first 100 of {found.rows.length} rows.</p>}
    </div>
  );
}

function cell(row: unknown, name: string, place: number): string {
  const value: unknown = Array.isArray(row) ? row[place] : row && typeof row === 'object' ? (row as Record<string, unknown>)[name] : row;
  return value == null ? '–' : plainText(typeof value === 'object' ? JSON.stringify(value) : String(value)).slice(0, 500);
}

/** The class of a cell: numbers stand on the right. */
function alignment(row: unknown, name: string, place: number): string | undefined {
  return row && /^-?[\d,.]+$/.test(cell(row, name, place)) ? 'number' : undefined;
}

function pretty(value: unknown): string {
  return plainText(JSON.stringify(value, null, 2) ?? '').slice(0, 20_000);
}
