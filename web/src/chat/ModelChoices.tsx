import { Command } from 'cmdk';
import { Check } from 'lucide-react';
import { useUser } from '../auth/AuthProvider';
import { count, duration, fromNow, percent, price, usd } from '../lib/format';
import { groupBy } from '../lib/group';
import { abilities, costOf, type Model, type ModelList, POLICIES, type Quality, useQuality } from '../lib/models';
import { daysAgo, daysBetween, useOverview } from '../lib/usage';
import type { Choice } from './ModelMenu';

const AGENTS = [
  { name: null, label: 'Agent: chosen by the question' },
  { name: 'general', label: 'Agent: general' },
  { name: 'technical', label: 'Agent: technical' },
  { name: 'research', label: 'Agent: research' },
];

/** The models in groups by provider, the rules that choose one, and the agents. */
export default function ModelChoices({ list, choice, onDone, onRetry }: { list: ModelList; choice: Choice; onDone: () => void; onRetry: () => void }) {
  const quality = useQuality();
  const monthly = useMonthlyTokens();
  const choose = (model: string | null) => {
    choice.setModel(model);
    onDone();
  };
  const isListed = choice.model === null || POLICIES.some(({ name }) => name === choice.model) || list.models.some((each) => each.model_key === choice.model);
  const byDefault = list.models.find((each) => each.model_key === list.defaultModel);
  const providers = groupBy(list.models, (each) => each.provider);
  return (
    <Command label="Search models" loop>
      <Command.Input placeholder="Search models, providers, abilities" autoFocus />
      {!isListed && <p className="menu-note">{choice.model} is not offered any more; its successor or the default answers.</p>}
      {(list.isOld || list.stale) && (
        <p className="menu-note" role="status">
          This list is from {fromNow(new Date(list.readAt))}; the server cannot be reached.{' '}
          <button type="button" className="link" onClick={onRetry}>
            Try again
          </button>
        </p>
      )}
      <Command.List className="model-list">
        <Command.Empty>No model matches.</Command.Empty>
        <Command.Group heading="By a rule">
          <Item value="default" isChosen={choice.model === null} title="Default" note={byDefault?.model_name ?? 'the model of this deployment'} onSelect={() => choose(null)} />
          {POLICIES.map(({ name, text }) => (
            <Item key={name} value={`policy ${name}`} isChosen={choice.model === name} title={name} note={text} onSelect={() => choose(name)} />
          ))}
        </Command.Group>
        {[...providers].map(([provider, models]) => (
          <Command.Group key={provider} heading={provider}>
            {models.map((model) => (
              <ModelItem
                key={model.model_key}
                model={model}
                isChosen={choice.model === model.model_key}
                isDefault={model.model_key === list.defaultModel}
                quality={quality.data?.get(model.identifier)}
                monthly={monthly ? costOf(model, monthly) : null}
                basis={monthly?.basis}
                onSelect={() => choose(model.model_key)}
              />
            ))}
          </Command.Group>
        ))}
      </Command.List>
      <select className="agent-select" aria-label="Agent" value={choice.agent ?? ''} onChange={(event) => choice.setAgent(event.target.value || null)}>
        {AGENTS.map(({ name, label }) => (
          <option key={label} value={name ?? ''}>
            {label}
          </option>
        ))}
      </select>
    </Command>
  );
}

function Item(props: { value: string; isChosen: boolean; title: string; note: string; onSelect: () => void }) {
  return (
    <Command.Item value={props.value} onSelect={props.onSelect} className="model-item model-item-short">
      <span className="model-title">{props.title}</span>
      <span className="model-note">{props.note}</span>
      {props.isChosen && <Check aria-label="chosen" className="chosen" />}
    </Command.Item>
  );
}

interface ModelItemProps {
  model: Model;
  isChosen: boolean;
  isDefault: boolean;
  quality: Quality | undefined;
  monthly: number | null;
  basis: string | undefined;
  onSelect: () => void;
}

function ModelItem({ model, isChosen, isDefault, quality, monthly, basis, onSelect }: ModelItemProps) {
  const { pricing, capabilities } = model;
  const isFree = pricing?.input === 0 && pricing.output === 0;
  const cost = !pricing ? 'price unknown' : isFree ? 'free' : `${price(pricing.input)} in, ${price(pricing.output)} out per million tokens`;
  const health = [
    quality?.mean_ttft_ms != null && `first word ${duration(quality.mean_ttft_ms)}`,
    quality?.error_rate != null && quality.error_rate > 0 && `${percent(quality.error_rate)} errors`,
    quality?.mean_rating != null && `rated ${quality.mean_rating.toFixed(1)}`,
  ].filter(Boolean);
  return (
    <Command.Item value={`${model.model_key} ${model.model_name}`} keywords={[model.identifier, ...abilities(model)]} onSelect={onSelect} className="model-item">
      <span className="model-title">
        {model.model_name}
        {isDefault && <span className="badge">default</span>}
        {quality?.error_rate != null && quality.error_rate > 0.2 && <span className="badge badge-warning">failing</span>}
        {isChosen && <Check aria-label="chosen" />}
      </span>
      <span className="model-note">
        {cost}
        {monthly != null && monthly > 0 && ` · about ${usd(monthly)} a month ${basis}`}
      </span>
      <span className="model-note">
        {[capabilities.context_window && `${count(capabilities.context_window, true)} context`, ...abilities(model), ...health].filter(Boolean).join(' · ')}
      </span>
    </Command.Item>
  );
}

const TYPICAL = { input: 300_000, output: 120_000 }; // 300 questions of 1,000 tokens, with answers of 400

/** The tokens of a month, by the user's last 30 days, or by those since their first question; before it, typical ones. */
function useMonthlyTokens(): { input: number; output: number; basis: string } | null {
  const found = useOverview(30, { person: useUser().id }).data;
  if (!found) return null;
  const { total, first_day: first } = found;
  if (!total.requests || !first) return { ...TYPICAL, basis: 'at ten questions a day' };
  const days = daysBetween(first, daysAgo(0)).length;
  const scale = 30 / Math.min(days, 30);
  return { input: total.input_tokens * scale, output: total.output_tokens * scale, basis: 'at your use' };
}
