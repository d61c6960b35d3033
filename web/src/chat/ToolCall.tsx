import { ArrowRightLeft, CircleAlert, Database, LoaderCircle, Wrench } from 'lucide-react';
import type { ToolUIPart, UIMessagePart } from 'ai';
import { lazy, Suspense } from 'react';
import { plainLine, plainText } from '../lib/text';

const LazyCodeBlock = lazy(() => import('./CodeBlock').then(({ CodeBlock }) => ({ default: CodeBlock })));

const HAND_OFF = 'tool-hand_off';
const AGENTS: Record<string, string> = { general: 'the general agent', technical: 'the technical agent', research: 'the research agent' };

interface QueryResult {
  columns: unknown[];
  rows: unknown[];
  row_count?: number;
}

export function isToolPart(part: UIMessagePart<never, never> | { type: string }): part is ToolUIPart {
  return part.type.startsWith('tool-');
}

/** A call of a tool with its SQL and rows, or the hand-off to another agent. */
export function ToolCall({ part }: { part: ToolUIPart }) {
  const input = (part.input ?? {}) as Record<string, unknown>;
  if (part.type === HAND_OFF) return <HandOff agent={String(input.agent ?? '')} reason={String(input.reason ?? '')} />;
  const sql = typeof input.sql === 'string' ? input.sql : null;
  const isRunning = part.state === 'input-available' || part.state === 'input-streaming';
  const isFailed = part.state === 'output-error';
  return (
    <details className="fold tool">
      <summary>
        {isRunning ? <LoaderCircle className="spin" aria-hidden /> : isFailed ? <CircleAlert aria-hidden /> : sql ? <Database aria-hidden /> : <Wrench aria-hidden />}
        <span>{summary(part, isRunning, isFailed)}</span>
      </summary>
      <div className="fold-body">
        {sql ? <CodeBlock code={plainText(sql)} language="sql" /> : <CodeBlock code={pretty(input)} language="json" />}
        {isFailed && <p className="tool-error">{plainText(part.errorText ?? '')}</p>}
        {part.state === 'output-available' && <Output value={part.output} />}
      </div>
    </details>
  );
}

function CodeBlock(props: { code: string; language: string }) {
  return (
    <Suspense fallback={<pre>{props.code}</pre>}>
      <LazyCodeBlock {...props} />
    </Suspense>
  );
}

function HandOff({ agent, reason }: { agent: string; reason: string }) {
  return (
    <p className="hand-off">
      <ArrowRightLeft aria-hidden />
      <span>
        Handed over to {AGENTS[agent] ?? plainLine(agent, 'another agent')}
        {reason && <>: {plainLine(reason, '')}</>}
      </span>
    </p>
  );
}

function summary(part: ToolUIPart, isRunning: boolean, isFailed: boolean): string {
  const name = plainLine(part.type.slice('tool-'.length), 'a tool').replaceAll('_', ' ');
  if (isRunning) return `Using ${name}…`;
  if (isFailed) return `${name} failed`;
  const found = queryResult(part.output);
  return found ? `Used ${name}: ${found.row_count ?? found.rows.length} rows` : `Used ${name}`;
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

function queryResult(value: unknown): QueryResult | null {
  const found = value as QueryResult | null;
  return found && typeof found === 'object' && Array.isArray(found.columns) && Array.isArray(found.rows) ? found : null;
}

function pretty(value: unknown): string {
  return plainText(JSON.stringify(value, null, 2) ?? '').slice(0, 20_000);
}
