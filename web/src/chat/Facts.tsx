import { Info } from 'lucide-react';
import { Popover } from 'radix-ui';
import { count, duration, usd } from '../lib/format';
import type { Metadata } from '../lib/chat';
import { modelName, useModels } from '../lib/models';
import { routeText, type TurnFacts } from '../lib/receipts';
import { plainLine } from '../lib/text';
import { CopyButton } from '../ui/parts';

/** What an answer cost: model, money, tokens and time; the details on request. */
export function Facts({ facts, metadata, payer }: { facts: TurnFacts | undefined; metadata: Metadata | undefined; payer: string | undefined }) {
  const models = useModels();
  const name = plainLine(metadata?.model_label ?? modelName(facts?.model ?? metadata?.model ?? '', models.data), '');
  if (!facts) return name || payer ? <p className="facts">{[name, payer].filter(Boolean).join(' · ')}</p> : null;
  const why = routeText(facts);
  const tokens = (facts.input_tokens ?? 0) + (facts.output_tokens ?? 0);
  return (
    <div className="facts">
      <span className="facts-line">
        {name && <span>{name}</span>}
        <span>{usd(facts.cost_usd)}</span>
        <span>{count(tokens)} tokens</span>
        <span>{duration(facts.duration_ms)}</span>
        {payer && <span>{payer}</span>}
      </span>
      <Popover.Root>
        <Popover.Trigger className="icon-button icon-button-small" aria-label="Details of this answer" title="Details">
          <Info aria-hidden />
        </Popover.Trigger>
        <Popover.Portal>
          <Popover.Content className="popover" align="start" sideOffset={6} collisionPadding={8} aria-label="Details of this answer">
            <dl className="pairs">
              <dt>Model</dt>
              <dd>{facts.model ?? '–'}</dd>
              <dt>Agent</dt>
              <dd>{metadata?.agents?.join(' → ') ?? metadata?.agent ?? '–'}</dd>
              <dt>Cost</dt>
              <dd>{usd(facts.cost_usd)}</dd>
              <dt>Tokens</dt>
              <dd>
                {count(facts.input_tokens)} in, {count(facts.output_tokens)} out
              </dd>
              <dt>First word after</dt>
              <dd>{duration(facts.ttft_ms)}</dd>
              <dt>Whole time</dt>
              <dd>{duration(facts.duration_ms)}</dd>
              <dt>Turn</dt>
              <dd className="mono">
                {facts.turn_id.slice(0, 8)}… <CopyButton text={facts.turn_id} label="Copy the id of the turn" />
              </dd>
            </dl>
          </Popover.Content>
        </Popover.Portal>
      </Popover.Root>
      {why && <p className="facts-why">{why}</p>}
    </div>
  );
}
