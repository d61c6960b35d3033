import { ask, expect, input, test } from './page';
import { ask as askOverApi, rest } from './people';

test('the menu finds a model by its words and says what it costs', async ({ page, open }) => {
  await open();
  await page.getByRole('button', { name: /^Model:/ }).click();
  const menu = page.getByRole('dialog', { name: 'Choose a model' });
  await expect(menu.getByText('default', { exact: true })).toBeVisible();
  await menu.getByRole('combobox', { name: 'Search models' }).fill('cheap model');
  await expect(menu.getByRole('option', { name: /Cheap model/ })).toContainText('$0.02 in, $0.08 out per million tokens');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: 'Model: Cheap model' })).toBeVisible();
  await page.reload();
  await expect(page.getByRole('button', { name: 'Model: Cheap model' })).toBeVisible();
});

test('after some use the menu says what a month of a model would cost', async ({ page, open }) => {
  await open('/', 'cheap-one');
  await ask(page, 'count my tokens '.repeat(400));
  await page.getByRole('button', { name: /^Model:/ }).click();
  await page.getByRole('combobox', { name: 'Search models' }).fill('dear');
  await expect(page.getByRole('option', { name: /Dear model/ })).toContainText(/about \$[\d.]+ a month at your use/);
});

test('a dear question is estimated before it is sent', async ({ page, open }) => {
  await open('/', 'dear');
  await input(page).fill('What will this cost?');
  await expect(page.getByText(/This question costs at most \$/)).toBeVisible();
});

test('the list of models survives a server that cannot be reached', async ({ page, open, faults }) => {
  await open('/', 'cheap-one');
  await expect(page.getByRole('button', { name: 'Model: Cheap model' })).toBeVisible();
  await page.route(`${process.env.LLMS_URL}/**`, (route) => route.abort());
  await page.reload();
  await page.getByRole('button', { name: 'Model: Cheap model' }).click();
  await expect(page.getByText(/This list is from/)).toBeVisible();
  faults.splice(0); // the aborted requests
});

test('a reached cap is explained, with the way to the usage', async ({ page, open, person, faults }) => {
  await rest('usage_limits', { method: 'POST', body: { scope: person.id, daily_requests: 0 } });
  await open('/', 'cheap-one');
  await expect(page.getByText('0 questions left today')).toBeVisible();
  await input(page).fill('hello');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('All requests of this period are used');
  await page.getByRole('link', { name: 'See my usage' }).click();
  await expect(page.getByRole('heading', { name: 'Your usage' })).toBeVisible();
  faults.splice(0); // the 429
});

test('a retired model answers through another one, and says so', async ({ page, open }) => {
  await open('/', 'retired');
  await ask(page, 'who answers?');
  await expect(page.getByText('The model you chose is retired; its successor answered.')).toBeVisible();
});

test('the usage shows what is left of the minute, and from where cheaper models answer', async ({ page, open, person }) => {
  const caps = { daily_cost_usd: 2, requests_per_minute: 5, degrade_at: 0.001, degrade_to: 'cheap' };
  await rest('usage_limits', { method: 'POST', body: { scope: person.id, ...caps } });
  await askOverApi(person, { message: 'hello', model: 'dear', max_tokens: 100 });
  await open('/usage');
  await expect(page.getByRole('group', { name: 'Last minute' })).toContainText('4 left.');
  await expect(page.getByRole('group', { name: 'Today' })).toContainText('More than 0.1% of the cap is used');
});
