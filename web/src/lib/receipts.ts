import { useQuery } from '@tanstack/react-query';
import type { Message } from './chat';
import { rows, supabase } from './supabase';

/** What is shown under an answer, from its receipt or its log row. */
export interface TurnFacts {
  turn_id: string;
  model: string | null;
  cost_usd: number | null;
  input_tokens: number | null;
  output_tokens: number | null;
  duration_ms: number | null;
  ttft_ms: number | null;
  reason: string | null;
  asked: string | null;
  status: string | null;
  error_code: string | null;
  fallbacks: number;
}

interface LogRow extends Omit<TurnFacts, 'model' | 'reason' | 'asked' | 'fallbacks'> {
  model_identifier: string | null;
  route_reason: string | null;
  unresolved_model: string | null;
  attempts: { ok: boolean; identifier: string }[] | null;
}

const COLUMNS =
  'turn_id,model_identifier,cost_usd,input_tokens,output_tokens,duration_ms,ttft_ms,route_reason,unresolved_model,status,error_code,attempts';

/** The user's own turns of a conversation, by turn id. It asks again while an answer of this page is not booked yet. */
export function useTurnFacts(userId: string, conversationId: string | undefined, isWaiting: (known: Map<string, TurnFacts>) => boolean) {
  return useQuery({
    queryKey: ['facts', conversationId],
    enabled: Boolean(conversationId),
    refetchInterval: (query) => (query.state.dataUpdateCount < 8 && isWaiting(query.state.data ?? new Map()) ? 1500 : false),
    queryFn: async () => {
      const query = supabase.from('chat_logs').select(COLUMNS).eq('user_id', userId).eq('conversation_id', conversationId!);
      const found = await rows<LogRow[]>(query.order('created_at', { ascending: false }).limit(1000));
      return new Map(found.map((row) => [row.turn_id, factsOf(row)]));
    },
  });
}

function factsOf(row: LogRow): TurnFacts {
  const failed = new Set((row.attempts ?? []).filter((each) => !each.ok).map((each) => each.identifier));
  failed.delete(row.model_identifier ?? '');
  return { ...row, model: row.model_identifier, reason: row.route_reason, asked: row.unresolved_model, fallbacks: failed.size };
}

/** The facts in the receipt of a message that this page received; undefined for stored messages. */
export function receivedFacts(message: Message): TurnFacts | undefined {
  for (const part of message.parts) {
    if (part.type !== 'data-receipt') continue;
    const { data } = part;
    return {
      turn_id: data.turn_id,
      model: data.route.identifier,
      cost_usd: data.cost_usd,
      input_tokens: data.usage.input_tokens,
      output_tokens: data.usage.output_tokens,
      duration_ms: data.duration_ms,
      ttft_ms: data.ttft_ms,
      reason: data.route.reason,
      asked: null,
      status: null,
      error_code: null,
      fallbacks: 0,
    };
  }
  return undefined;
}

const REASONS: Record<string, string> = {
  model_replaced: 'The model you chose is retired; its successor answered.',
  model_not_found: 'The model you chose does not exist here; the default answered.',
  conversation_default: 'The default model of this conversation answered.',
  profile: 'Your preferred model answered.',
  agent: 'The model of this agent answered.',
  degraded: 'A cheaper model answered, because a cost cap is nearly used.',
};

/** Why another model than the chosen one served, in words; null when there is nothing to explain. */
export function routeText(facts: TurnFacts): string | null {
  const reason = facts.reason ? REASONS[facts.reason] : undefined;
  const asked = facts.asked ? ` Asked for: ${facts.asked}.` : '';
  const after = facts.fallbacks ? `${facts.fallbacks} other ${facts.fallbacks === 1 ? 'model' : 'models'} failed first.` : '';
  return [reason && reason + asked, after].filter(Boolean).join(' ') || null;
}
