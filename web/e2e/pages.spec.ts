import { readFile } from 'node:fs/promises';
import { ask, newAdmin, rest } from './people';
import { expect, input, test } from './page';

test('the usage shows what was spent, on which model, and as CSV', async ({ page, open, person }) => {
  await ask(person, { message: 'spend something', model: 'dear' });
  await open('/usage');
  await expect(page.getByRole('group', { name: 'Today' })).toContainText(/\$0\.\d+ of \$20\.00/);
  await expect(page.getByRole('region', { name: 'Use by model' })).toContainText('Dear model');
  await expect(page.getByRole('region', { name: 'Dearest answers, table' })).toContainText('Dear model');
  await expect(page.getByRole('region', { name: 'Use by conversation' })).toContainText('spend something');
  await expect(page.getByRole('img', { name: /1 active day;/ })).toBeVisible();
  await page.getByText('As a table').first().click();
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV of Use by model' }).click()]);
  expect(await readFile(await saved.path(), 'utf8')).toMatch(/^Model,Cost,Questions/);
  await page.getByLabel('Span', { exact: true }).selectOption('7');
  await expect(page).toHaveURL(/days=7/);
  await page.reload();
  await expect(page.getByLabel('Span', { exact: true })).toHaveValue('7');
});

test('a model server is added, probed, gets a key and is deleted', async ({ page, open }) => {
  await open('/connect');
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('My server');
  await page.getByLabel('Base address').fill(process.env.NODE_URL!);
  await page.getByRole('button', { name: 'Add and probe' }).click();
  const node = page.getByRole('region', { name: 'My server' });
  await expect(node.getByText(/client:\d+:/).first()).toBeVisible();
  await node.getByRole('button', { name: 'Leave a key' }).click();
  await page.getByRole('textbox', { name: 'Key', exact: true }).fill('secret-key');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(node.getByRole('button', { name: 'Change its key' })).toBeVisible();
  await node.getByRole('button', { name: 'Delete My server' }).click();
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await expect(node).toHaveCount(0);
  await page.getByRole('tab', { name: 'OpenAI for Python' }).click();
  await expect(page.getByRole('tabpanel')).toContainText(`base_url="${process.env.CHAT_URL}/v1"`);
});

test('a key is made, shown once, used and revoked', async ({ page, open }) => {
  await open('/connect');
  await page.getByLabel('Name of the key').fill('laptop');
  await page.getByLabel('USD a day at most').fill('2');
  await page.getByLabel('May also search my messages and read my usage').click();
  await page.getByRole('button', { name: 'Make the key' }).click();
  const secret = await page.getByRole('dialog').locator('pre').innerText();
  const answered = () => page.request.get(`${process.env.CHAT_URL}/v1/models`, { headers: { Authorization: `Bearer ${secret}` } });
  expect((await answered()).status()).toBe(200);
  await page.getByRole('button', { name: 'Close' }).click();
  const row = page.getByRole('row', { name: /laptop/ });
  await expect(row).toContainText('$2.00');
  await expect(row).toContainText('chat, history, models, usage');
  await expect(page.getByText(secret)).toHaveCount(0);
  await row.getByRole('button', { name: 'Revoke laptop' }).click();
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await expect(row).toContainText('revoked');
});

test('preferences are saved, and all data is saved and deleted', async ({ page, open, person }) => {
  await ask(person, { message: 'forget me', model: 'cheap-one' });
  await open('/privacy');
  await page.getByLabel('Length of answers').selectOption('concise');
  await expect(page.getByText('Saved.')).toBeVisible();
  await page.getByText('Learn from my questions').click();
  await expect(page.getByRole('switch', { name: 'Learn from my questions' })).toBeChecked();
  await page.getByText('Allow training with my questions').click();
  await expect(page.getByRole('switch', { name: 'Allow training with my questions' })).toBeChecked();
  expect(await rest('user_llm_profiles?select=allows_training,is_profiling_enabled', { by: person })).toEqual([{ allows_training: true, is_profiling_enabled: true }]);
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save my data' }).click()]);
  expect(await readFile(await saved.path(), 'utf8')).toContain('forget me');
  await page.getByRole('button', { name: 'Delete my data' }).click();
  await expect(page.getByRole('button', { name: 'Delete everything' })).toBeDisabled();
  await page.getByLabel(/to confirm/).fill('delete');
  await page.getByRole('button', { name: 'Delete everything' }).click();
  await expect(page.getByText('Your conversations appear here.')).toBeVisible();
  expect(await rest('llm_conversations?select=id', { by: person })).toEqual([]);
});

test('a conversation is kept out of training', async ({ page, open, person }) => {
  const id = await ask(person, { message: 'keep me out', model: 'cheap-one' });
  await open(`/c/${id}`);
  await page.getByRole('button', { name: 'Export and link' }).click();
  await page.getByRole('menuitem', { name: 'Keep out of training' }).click();
  await expect(page.getByText('No turn of this conversation is used for training.')).toBeVisible();
  expect(await rest(`llm_conversations?id=eq.${id}&select=allows_training`, { by: person })).toEqual([{ allows_training: false }]);
});

test.describe('an admin', () => {
  test.use({ person: async ({}, use) => use(await newAdmin()) });

  test('sees the dashboard, filters it in the address, and goes back', async ({ page, open, person }) => {
    await ask(person, { message: 'count me', model: 'dear' });
    await open('/admin');
    await expect(page.getByRole('group', { name: 'Turns' })).toContainText(/[1-9]/);
    await page.getByRole('button', { name: 'Dear model' }).first().click();
    await expect(page).toHaveURL(/only=model/);
    await expect(page.getByText(/Only model/)).toBeVisible();
    await page.goBack();
    await expect(page.getByText(/Only model/)).toHaveCount(0);
    const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV of the figures' }).click()]);
    const figures = await readFile(await saved.path(), 'utf8');
    const rows = (await rest('usage_daily?select=requests')) as { requests: number }[];
    const turns = Number(/^Turns,(\d+)/m.exec(figures)?.[1]);
    expect(turns).toBeGreaterThan(0);
    expect(turns).toBeLessThanOrEqual(rows.reduce((sum, row) => sum + row.requests, 0));
  });

  test('sees percentiles and ratings with their samples, in the tiles as in the CSV', async ({ page, open, person }) => {
    const conversation = await ask(person, { message: 'rate me', model: 'unpriced' });
    const [turn] = (await rest(`chat_logs?select=turn_id,model_identifier&conversation_id=eq.${conversation}`)) as { turn_id: string; model_identifier: string }[];
    await rest('feedback', { by: person, method: 'POST', body: { turn_id: turn!.turn_id, user_id: person.id, rating: 4 } });
    await open(`/admin?only=person:${person.id}`);
    const tile = (name: string) => page.getByRole('group', { name, exact: true });
    await expect(tile('Satisfaction')).toContainText('4.00 of 5');
    await expect(tile('Satisfaction')).toContainText('1 rating');
    await expect(tile('Whole time, 95 %')).toContainText(/\d m?s/);
    await expect(tile('This month, forecast')).toBeVisible();
    const firstWords = page.locator('figure', { hasText: 'First word, median' });
    await expect(firstWords.locator('circle')).toHaveCount(1); // a day without neighbours
    const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'CSV of the figures' }).click()]);
    const figures = await readFile(await saved.path(), 'utf8');
    expect(figures).toMatch(/^Satisfaction,4(\.0+)?,,1\r?$/m);
    expect(figures).toMatch(/^"?First word, median"?,[\d.]+,,1\r?$/m);
  });

  test('sees what runs now', async ({ page, open, person }) => {
    const ended = new AbortController();
    const headers = { Authorization: `Bearer ${person.token}`, 'Content-Type': 'application/json' };
    const running = await fetch(process.env.CHAT_URL!, { method: 'POST', headers, signal: ended.signal, body: JSON.stringify({ message: 'go on', model: 'endless' }) });
    expect(running.ok).toBe(true);
    await open('/admin');
    await expect(page.getByRole('row', { name: new RegExp(person.id.slice(0, 8)) }).filter({ hasText: 'running' })).toContainText('Endless model');
    ended.abort();
    await expect(page.getByRole('row', { name: new RegExp(person.id.slice(0, 8)) }).filter({ hasText: 'running' })).toHaveCount(0);
  });

  test('changes a price and a switch in the catalogue', async ({ page, open }) => {
    await open('/admin/catalogue');
    const row = page.getByRole('row', { name: /Model without a price/ });
    await row.getByRole('button').first().click();
    await page.getByLabel('Question (input)').fill('3');
    await page.getByLabel('Answer (output)').fill('9');
    await page.getByRole('button', { name: 'Save' }).click();
    await expect(row).toContainText('$3 / $9');
    await row.getByRole('switch').click();
    await expect(row.getByRole('switch')).not.toBeChecked();
    await row.getByRole('switch').click();
    await expect(row.getByRole('switch')).toBeChecked();
  });

  test('adds an arm to an alias and removes it', async ({ page, open }) => {
    await open('/admin/catalogue');
    await page.getByRole('textbox', { name: 'Alias' }).fill('trial');
    await page.getByRole('combobox', { name: 'Model' }).selectOption('cheap-one');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByRole('button', { name: 'Remove cheap-one from trial' }).click();
    await expect(page.getByRole('region', { name: 'Alias trial' })).toHaveCount(0);
  });

  test('gives one user caps of their own', async ({ page, open, person }) => {
    await open('/admin/limits');
    await page.getByLabel('User id').fill(person.id);
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    const caps = page.getByRole('form', { name: person.id });
    await caps.getByLabel('Questions a day').fill('7');
    await caps.getByLabel('Questions a minute').fill('3');
    await caps.getByLabel('Cheaper from this share of a cap').fill('0.8');
    await caps.getByLabel('Alias or policy that then answers').fill('cheap');
    await caps.getByRole('button', { name: 'Save' }).click();
    await expect(page.getByText('The caps are saved.')).toBeVisible();
    await page.reload();
    await expect(caps.getByLabel('Questions a minute')).toHaveValue('3');
    await expect(caps.getByLabel('Alias or policy that then answers')).toHaveValue('cheap');
    await caps.getByRole('button', { name: 'Remove' }).click();
    await expect(caps).toHaveCount(0);
  });
});

test('a user without the role has no admin pages', async ({ page, open }) => {
  await open('/admin');
  await expect(page.getByText('There is nothing at this address')).toBeVisible();
  await expect(page.getByRole('link', { name: 'Dashboard' })).toHaveCount(0);
  await page.goto('/');
  await expect(input(page)).toBeVisible();
});
