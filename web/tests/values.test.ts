import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { remaining } from '../src/chat/Budget';
import { loadConfig } from '../src/config';
import { exported } from '../src/lib/conversations';
import type { Message } from '../src/lib/chat';
import { errorOf, errorText, explain } from '../src/lib/errors';
import { costOf, matches, type Model } from '../src/lib/models';
import { routeText, type TurnFacts } from '../src/lib/receipts';
import { daysBetween, type Limit, sumBy, type UsageRow } from '../src/lib/usage';

beforeEach(() => vi.stubGlobal('navigator', { onLine: true }));
afterEach(() => vi.unstubAllGlobals());

const MODEL = { model_name: 'Gemini Flash', identifier: 'google:gemini', capabilities: { supports_vision: true }, pricing: { input: 1, output: 4 } } as Model;
const ROW: UsageRow = {
  day: '2026-11-01', provider: 'x', model_identifier: 'a', agent_type: '', endpoint: 'chat', user_id: 'u', requests: 2, errors: 1, input_tokens: 10,
  output_tokens: 5, cost_usd: 0.5, duration_ms_sum: 3000, ttft_ms_sum: 400, ttft_count: 2, unpriced_requests: 0,
};
const DAY: Limit = {
  period: 'day', period_start: '2026-11-28', resets_at: '2026-11-29T00:00:00Z', max_requests: 500, requests: 3, max_cost_usd: 5, spent_usd: 1, reserved_usd: 0, degrade_at: null, degrade_to: null, is_degraded: false,
};

describe('errors', () => {
  test('a refusal is explained by its code, with the time of the reset', async () => {
    const body = { error: { message: 'All turns are used.', code: 'quota_exceeded', request_id: 'r1', metadata: { resets_at: '2026-11-29T00:00:00Z' } } };
    const explained = explain(await errorOf(new Response(JSON.stringify(body), { status: 429 })));
    expect(explained).toMatchObject({ title: 'All requests of this period are used', canRetry: false, action: 'usage', requestId: 'r1' });
    expect(explained.detail).toMatch(/^All turns are used\. It resets .*2026/);
  });

  test('the AI SDK throws the body as a message, and it is read', () => {
    expect(explain(new Error('{"error": {"message": "No.", "code": "provider_overloaded"}}')).title).toBe('The model is overloaded');
  });

  test('an unknown body is no riddle', async () => {
    expect(errorText(await errorOf(new Response('<html>', { status: 503 })))).toContain('The server answered 503.');
    expect(errorText({ message: 'permission denied' })).toBe('permission denied');
  });
});

describe('models', () => {
  test('a search finds names, providers and abilities, in any order', () => {
    expect([matches(MODEL, 'vision google'), matches(MODEL, 'FLASH'), matches(MODEL, 'claude')]).toEqual([true, true, false]);
  });

  test('the cost of tokens is unknown without a price, never zero', () => {
    expect(costOf(MODEL, { input: 1e6, output: 5e5 })).toBe(3);
    expect(costOf({ ...MODEL, pricing: null }, { input: 1, output: 1 })).toBeNull();
  });
});

describe('use', () => {
  test('sums are by key, the dearest first', () => {
    const [first, second] = sumBy([ROW, { ...ROW, model_identifier: 'b', cost_usd: 2 }, ROW], (row) => row.model_identifier);
    expect(first).toMatchObject({ key: 'b', cost_usd: 2 });
    expect(second).toMatchObject({ key: 'a', requests: 4, errors: 2, tokens: 30, mean_ms: 1500, mean_ttft_ms: 200 });
  });

  test('a span has every day, also over the end of a month', () => {
    expect(daysBetween('2026-02-27', '2026-03-02')).toEqual(['2026-02-27', '2026-02-28', '2026-03-01', '2026-03-02']);
  });

  test('the tightest cap is shown, reservations included', () => {
    const month: Limit = { ...DAY, period: 'month', max_cost_usd: 4, spent_usd: 3.5, reserved_usd: 0.25 };
    expect(remaining([DAY, month])).toEqual({ text: '$0.25 left this month', isLow: true });
    expect(remaining([{ ...DAY, max_cost_usd: null }])).toEqual({ text: '497 questions left today', isLow: false });
    expect(remaining([])).toBeNull();
  });
});

describe('answers', () => {
  test('another model than the chosen one is explained', () => {
    const facts = { reason: 'model_replaced', asked: 'gpt-3', fallbacks: 1 } as TurnFacts;
    expect(routeText(facts)).toBe('The model you chose is retired; its successor answered. Asked for: gpt-3. 1 other model failed first.');
    expect(routeText({ ...facts, reason: 'requested', asked: null, fallbacks: 0 })).toBeNull();
  });

  test('a conversation is exported as Markdown with the names of the models', () => {
    const messages = [
      { id: '1', role: 'user', parts: [{ type: 'text', text: 'Why?' }] },
      { id: '2', role: 'assistant', parts: [{ type: 'text', text: 'Because.' }], metadata: { model_label: 'GPT' } },
    ] as Message[];
    expect(exported('A title', messages, 'markdown')).toMatchObject({ name: 'a-title.md', text: '# A title\n\n## Question\n\nWhy?\n\n## Answer (GPT)\n\nBecause.\n' });
  });
});

describe('the configuration', () => {
  const hosted = (body: string, type: string) => vi.stubGlobal('fetch', () => Promise.resolve(new Response(body, { headers: { 'content-type': type } })));

  test('config.json gives the addresses', async () => {
    hosted(JSON.stringify({ supabaseUrl: 's', supabaseAnonKey: 'k', chatUrl: 'c', llmsUrl: 'l' }), 'application/json');
    expect(await loadConfig()).toEqual({ supabaseUrl: 's', supabaseAnonKey: 'k', chatUrl: 'c', llmsUrl: 'l', refreshUrl: null, demo: null });
  });

  test('a host that answers with its fallback page is not configured', async () => {
    hosted('<!doctype html>', 'text/html');
    await expect(loadConfig()).rejects.toThrow('supabaseUrl, supabaseAnonKey, chatUrl, llmsUrl missing');
  });
});
