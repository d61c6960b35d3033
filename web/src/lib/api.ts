import { errorOf } from './errors';
import { accessToken, config } from './supabase';

/** A request to a function as the signed-in user. Throws ParleyError for a refusal, TypeError without a connection. */
export async function call(url: string, options: { method?: string; body?: unknown; headers?: Record<string, string>; signal?: AbortSignal } = {}): Promise<Response> {
  const headers: Record<string, string> = { Authorization: `Bearer ${await accessToken()}`, ...options.headers };
  if (options.body !== undefined) headers['Content-Type'] = 'application/json';
  const body = options.body === undefined ? undefined : JSON.stringify(options.body);
  const response = await fetch(url, { method: options.method ?? 'GET', headers, body, signal: options.signal });
  if (!response.ok && response.status !== 304) throw await errorOf(response);
  return response;
}

export interface Estimate {
  route: { identifier: string; model: string; reason: string };
  estimate: { input_tokens: number; max_output_tokens: number; cost_usd: { least: number; most: number } | null };
  limits: { requests_remaining: number | null; budget_remaining_usd: number | null; requests_reset_at: string | null };
}

/** What a question would cost at least and at most; no model is called and nothing is stored. */
export async function estimate(body: { message: string; id?: string; model?: string; agent?: string }, signal: AbortSignal): Promise<Estimate> {
  const response = await call(config.chatUrl, { method: 'POST', body: { ...body, dry_run: true }, signal });
  return (await response.json()) as Estimate;
}

/** Asks a client node for its models. */
export async function probeNode(id: number): Promise<void> {
  await call(`${config.llmsUrl}/nodes/${id}/probe`, { method: 'POST' });
}
