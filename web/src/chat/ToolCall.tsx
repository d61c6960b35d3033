import { ArrowRightLeft, CircleAlert, Database, LoaderCircle, Wrench } from 'lucide-react';
import type { ToolUIPart, UIMessagePart } from 'ai';
import { lazy, Suspense } from 'react';
import { plainLine } from '../lib/text';
import { queryResult } from './queryResult';

const ToolBody = lazy(() => import('./ToolBody'));

const HAND_OFF = 'tool-hand_off';
const AGENTS: Record<string, string> = { general: 'the general agent', technical: 'the technical agent', research: 'the research agent' };

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
      <Suspense fallback={null}>
        <ToolBody part={part} sql={sql} />
      </Suspense>
    </details>
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
