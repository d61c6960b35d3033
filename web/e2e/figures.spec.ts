import { readFile } from 'node:fs/promises';
import type { Locator, Page } from '@playwright/test';
import { count, duration, percent, usd } from '../src/lib/format';
import { ask, newAdmin, rest } from './people';
import { expect, test } from './page';

test.use({ person: async ({}, use) => use(await newAdmin()) });

interface Logged {
  model_identifier: string | null;
  error_code: string | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
}

/** The lines of a CSV by their first cell; no cell of these files has a quoted comma but the names of the figures. */
async function csv(page: Page, button: string, place: Page | Locator = page): Promise<Record<string, string[]>> {
  const [saved] = await Promise.all([page.waitForEvent('download'), place.getByRole('button', { name: `CSV of ${button}`, exact: true }).click()]);
  const lines = (await readFile(await saved.path(), 'utf8')).trim().split('\r\n').slice(1);
  const cells = lines.map((line) => [...line.matchAll(/("[^"]*"|[^,]*)(?:,|$)/g)].map((found) => found[1]!.replaceAll('"', '')));
  return Object.fromEntries(cells.map(([name, ...values]) => [name!, values]));
}

test('each tile, chart and table shows what its CSV has, and what the log and the SQL say', async ({ page, open, person, faults }) => {
  for (const model of ['dear', 'rich', 'cheap-one', 'unpriced', 'cheap-one']) await ask(person, { message: `a question for ${model}`, model });
  await expect(ask(person, { message: 'fails', model: 'failing' })).rejects.toThrow('provider');
  const fields = 'model_identifier,error_code,input_tokens,output_tokens,cost_usd';
  const log = (await rest(`chat_logs?select=${fields}&user_id=eq.${person.id}`)) as Logged[];
  const sum = (value: (row: Logged) => number | null) => log.reduce((all, row) => all + (value(row) ?? 0), 0);
  const report = async (metric: string) => ((await rest('rpc/usage_report', { by: person, method: 'POST', body: { metric, filters: { person: person.id } } })) as { value: number }[])[0]!.value;
  expect(log).toHaveLength(6);

  await open(`/admin?only=person:${person.id}`);
  await expect(page.getByRole('group', { name: 'First word, median', exact: true })).toContainText(/\d m?s/);
  const figures = await csv(page, 'the figures');
  const [tokens, errors] = [sum((row) => (row.input_tokens ?? 0) + (row.output_tokens ?? 0)), sum((row) => (row.error_code ? 1 : 0))];
  const expected: [string, number, string][] = [
    ['Cost', sum((row) => row.cost_usd), usd(sum((row) => row.cost_usd))],
    ['Turns', log.length, '6'],
    ['People', 1, '1'],
    ['Tokens', tokens, count(tokens, true)],
    ['Errors', errors / log.length, percent(errors / log.length)],
    ['Unpriced', sum((row) => (row.cost_usd === null ? 1 : 0)), '1'],
    ['First word, median', await report('ttft_p50'), duration(await report('ttft_p50'))],
    ['First word, 95 %', await report('ttft_p95'), duration(await report('ttft_p95'))],
    ['Whole time, median', await report('duration_p50'), duration(await report('duration_p50'))],
    ['Whole time, 95 %', await report('duration_p95'), duration(await report('duration_p95'))],
  ];
  for (const [name, value, text] of expected) {
    await expect(page.getByRole('group', { name, exact: true }).locator('.tile-value')).toHaveText(text);
    expect(Number(figures[name]![0]), name).toBeCloseTo(value, 9);
  }

  for (const title of ['Cost', 'Turns', 'Errors']) {
    const chart = page.getByRole('figure', { name: title, exact: true });
    await chart.getByText('As a table').click();
    const [day] = Object.entries(await csv(page, title, chart));
    expect(Number(day![1][0]), title).toBeCloseTo(expected.find(([name]) => name === title)![1] * (title === 'Errors' ? log.length : 1), 9);
    await expect(chart.getByRole('row')).toHaveCount(2); // the titles and today: no turn was before
  }
  const models = await csv(page, 'By model');
  expect(models['Cheap model']!.slice(1, 2)).toEqual(['2']);
  expect(Object.values(models).reduce((all, [, turns]) => all + Number(turns), 0)).toBe(6);
  const before = Number(models['Dear model']![0]);
  expect(before).toBeCloseTo(sum((row) => (row.model_identifier === 'openai:fixed~page' ? row.cost_usd : 0)), 9);
  expect(faults).toEqual([]);
});
