import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { remaining } from '../src/chat/Budget';
import { loadConfig } from '../src/config';
import { exported } from '../src/lib/conversations';
import { type Message, sameMessages, withEarlier } from '../src/lib/chat';
import { errorOf, errorText, explain } from '../src/lib/errors';
import { costOf, matches, type Model } from '../src/lib/models';
import { routeText, type TurnFacts } from '../src/lib/receipts';
import { daysAgo, daysBetween, type Limit, type Overview, pointsOf } from '../src/lib/usage';

beforeEach(() => vi.stubGlobal('navigator', { onLine: true }));
afterEach(() => vi.unstubAllGlobals());

const MODEL = { model_name: 'Gemini Flash', identifier: 'google:gemini', capabilities: { supports_vision: true }, pricing: { input: 1, output: 4 } } as Model;
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
    expect(explain(new Error('{"error": {"message": "No.", "code": "validation_failed", "metadata": {"needs": ["supports_vision"]}}}')).action).toBe('models');
    expect(explain(new Error('{"error": {"message": "No.", "code": "provider_overloaded"}}')).title).toBe('The model is overloaded');
  });

  test('an unknown body is no riddle', async () => {
    expect(errorText(await errorOf(new Response('<html>', { status: 503 })))).toContain('The server answered 503.');
    expect(errorText({ message: 'permission denied' })).toBe('permission denied');
  });
});

describe('messages', () => {
  const message = (id: string, role: 'user' | 'assistant', turn_id?: string) => ({ id, role, parts: [], metadata: { turn_id } }) as Message;
  const stored = [message('1', 'user', 't'), message('2', 'assistant', 't')];

  test('what this tab has sent is the same as what is stored of it', () => {
    expect(sameMessages([message('local', 'user'), message('x', 'assistant', 't')], stored)).toBe(true);
    expect(sameMessages([message('local', 'user')], stored)).toBe(false);
    expect(sameMessages([message('1', 'user', 't'), message('x', 'assistant', 'other')], stored)).toBe(false);
  });

  test('earlier messages that were loaded stay before the stored ones', () => {
    const earlier = message('0', 'user');
    expect(withEarlier([earlier, ...stored.slice(0, 1)], stored)).toEqual([earlier, ...stored]);
    expect(withEarlier([message('other', 'user')], stored)).toEqual(stored);
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
  test('a day without use is zero, or no value; a day before the first use has none', () => {
    const [today, before] = [daysAgo(0), daysAgo(2)];
    const overview = { days: [{ key: before, requests: 3 }], first_day: before } as Overview;
    const start = daysAgo(3);
    expect(pointsOf(overview, 4, (sum) => sum.requests)).toEqual([{ day: start, value: null }, { day: before, value: 3 }, { day: daysAgo(1), value: 0 }, { day: today, value: 0 }]);
    expect(pointsOf(overview, 2, (sum) => sum.mean_ttft_ms, null)).toEqual([{ day: daysAgo(1), value: null }, { day: today, value: null }]);
    expect(pointsOf({ ...overview, first_day: null }, 1, (sum) => sum.requests)).toEqual([{ day: today, value: null }]);
  });

  test('a span has every day, also over the end of a month', () => {
    expect(daysBetween('2026-02-27', '2026-03-02')).toEqual(['2026-02-27', '2026-02-28', '2026-03-01', '2026-03-02']);
  });

  test('the tightest cap is shown, reservations included', () => {
    const month: Limit = { ...DAY, period: 'month', max_cost_usd: 4, spent_usd: 3.5, reserved_usd: 0.25 };
    expect(remaining([DAY, month])).toEqual({ text: '$0.25 left', when: 'this month', isLow: true });
    expect(remaining([{ ...DAY, max_cost_usd: null }])).toEqual({ text: '497 questions left', when: 'today', isLow: false });
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
