import { useQuery } from '@tanstack/react-query';
import { call } from './api';
import { config, rows, supabase } from './supabase';

export interface Model {
  id: number;
  model_key: string;
  model_name: string;
  provider: string;
  identifier: string;
  capabilities: { context_window?: number; max_output_tokens?: number; supports_vision?: boolean; supports_tools?: boolean; supports_files?: boolean };
  pricing: { input: number; output: number } | null;
  is_default: boolean;
  display_order: number;
}

export interface ModelList {
  models: Model[];
  defaultModel: string | null;
  lastSynced: string | null;
  stale?: boolean;
  /** When this browser read the list, as milliseconds; older than a moment when the server cannot be reached. */
  readAt: number;
  isOld: boolean;
}

export interface Quality {
  model_identifier: string;
  turns: number;
  error_rate: number | null;
  mean_ttft_ms: number | null;
  mean_rating: number | null;
}

/** Names that choose a model by a rule; the server knows them without a row. */
export const POLICIES = [
  { name: 'auto', text: 'a balance of price, speed and quality' },
  { name: 'fast', text: 'the quickest first word' },
  { name: 'cheap', text: 'the lowest price' },
  { name: 'best', text: 'the best rating' },
] as const;

const KEPT = 'parley.models';

async function readModels(): Promise<ModelList> {
  try {
    const response = await call(`${config.llmsUrl}/`);
    const list = { ...((await response.json()) as ModelList), readAt: Date.now(), isOld: false };
    localStorage.setItem(KEPT, JSON.stringify(list));
    return list;
  } catch (error) {
    const kept = localStorage.getItem(KEPT);
    if (!kept) throw error;
    return { ...(JSON.parse(kept) as ModelList), isOld: true };
  }
}

/** The models that can be chosen; the last good list when the server cannot be reached. */
export function useModels() {
  return useQuery({ queryKey: ['models'], queryFn: readModels, staleTime: 60_000 });
}

/** Measured quality by identifier; it names no user. */
export function useQuality() {
  return useQuery({
    queryKey: ['quality'],
    staleTime: 300_000,
    queryFn: async () => {
      const found = await rows<Quality[]>(supabase.from('model_quality').select('model_identifier,turns,error_rate,mean_ttft_ms,mean_rating'));
      return new Map(found.map((each) => [each.model_identifier, each]));
    },
  });
}

/** US dollars for these tokens; null when the price is unknown. */
export function costOf(model: Model, tokens: { input: number; output: number }): number | null {
  if (!model.pricing) return null;
  return (tokens.input * model.pricing.input + tokens.output * model.pricing.output) / 1e6;
}

/** Whether a model matches all words of a search. */
export function matches(model: Model, search: string): boolean {
  const text = `${model.model_name} ${model.identifier} ${abilities(model).join(' ')}`.toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

export function abilities(model: Model): string[] {
  const { supports_vision, supports_tools, supports_files } = model.capabilities;
  return [supports_vision && 'vision', supports_tools && 'tools', supports_files && 'files'].filter((each) => typeof each === 'string');
}

/** The display name of a key or identifier; the text itself when no model has it. */
export function modelName(name: string, list: ModelList | undefined): string {
  return list?.models.find((each) => each.model_key === name || each.identifier === name)?.model_name ?? name;
}
