import { ask as askOverApi, rest, signUp } from './people';
import { ask, expect, input, test } from './page';

const attacked = (page: import('@playwright/test').Page) => page.evaluate(() => (window as { attacked?: number }).attacked);

test('a hostile answer runs nothing, loads nothing and breaks no layout', async ({ page, open }) => {
  const requests: string[] = [];
  page.on('request', (request) => requests.push(new URL(request.url()).hostname));
  await open('/', 'hostile');
  await ask(page, '<img src=x onerror="window.attacked = 1"> \u202eodd');
  const answer = page.getByRole('article', { name: 'Answer' });
  await expect(answer).toContainText('<script>window.attacked = 1</script>');
  await expect(answer.locator('script, iframe, svg:not(.lucide), img, style, object, form')).toHaveCount(0);
  for (const link of await answer.getByRole('link').all()) expect(await link.getAttribute('href')).toMatch(/^(https?:|mailto:)/);
  expect(await answer.innerText()).not.toMatch(/[\u202a-\u202e\u001b]/);
  expect(await attacked(page)).toBeUndefined();
  expect([...new Set(requests)]).toEqual(['127.0.0.1']);
});

test('a hostile title, name and tool output are text', async ({ page, open, person }) => {
  const id = await askOverApi(person, { message: 'x', model: 'cheap-one' });
  const title = '<img src=x onerror=window.attacked=1>\u202egnp.exe';
  await rest(`llm_conversations?id=eq.${id}`, { by: person, method: 'PATCH', body: { title } });
  await rest('client_nodes', { by: person, method: 'POST', body: { name: '<b>node</b>', base_url: process.env.NODE_URL } });
  await open('/connect', 'hostile-tool');
  await expect(page.getByRole('heading', { name: '<b>node</b>' })).toBeVisible();
  await page.getByRole('link', { name: '<img src=x' }).click();
  await expect(page.getByRole('heading', { level: 1 })).not.toContainText('\u202e');
  await ask(page, 'use the tool');
  await page.getByText(/Used analyze data/).click();
  await expect(page.getByRole('cell', { name: '<img src=x onerror=window.attacked=9>' })).toBeVisible();
  expect(await attacked(page)).toBeUndefined();
});

test('a huge table scrolls inside its frame', async ({ page, open }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await open('/', 'huge-table');
  await ask(page, 'a table');
  await expect(page.getByRole('region', { name: 'Table' })).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
});

test('the policy allows no other script, and the page needs none', async ({ page, open }) => {
  await open();
  const response = await page.request.get('/');
  const policy = response.headers()['content-security-policy'] ?? '';
  expect(policy).toContain("script-src 'self';");
  expect(policy).toContain("style-src 'self';");
  expect(policy).not.toContain('unsafe');
});

test('offline is said, words stay, and the retry works once the network is back', async ({ page, open, context, faults }) => {
  await open('/', 'cheap-one');
  await ask(page, 'before');
  await context.setOffline(true);
  await expect(page.getByText(/You are offline/)).toBeVisible();
  await input(page).fill('during');
  await input(page).press('Enter');
  await expect(page.getByRole('alert')).toContainText('No connection');
  await expect(page.getByText('before').first()).toBeVisible();
  await context.setOffline(false);
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByRole('article', { name: 'Answer' }).last()).toContainText('during');
  faults.splice(0); // requests without a network
});

test('an answer whose connection was lost is read on, and not asked for again', async ({ page, open, person, faults }) => {
  await open('/', 'cheap-one');
  let isLost = false;
  await page.route(`${process.env.CHAT_URL}**`, async (route) => {
    if (isLost || route.request().method() !== 'POST' || route.request().postData()?.includes('dry_run')) return route.continue();
    isLost = true;
    await route.fetch(); // the question arrives, the answer does not
    await route.abort('connectionreset');
  });
  await input(page).fill('lost and found');
  await input(page).press('Enter');
  await expect(page.getByRole('alert')).toContainText('No connection');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByRole('article', { name: 'Answer' })).toContainText('lost and found');
  expect(await rest('chat_logs?select=turn_id', { by: person })).toHaveLength(1);
  faults.splice(0); // the lost connection
});

test('a slow server leaves the page usable', async ({ page, open }) => {
  let release = () => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  await page.route(/rest\/v1\/(conversation_members|llm_conversations)/, async (route) => {
    await gate;
    await route.continue();
  });
  await open('/', 'cheap-one');
  await expect(page.getByText('Loading conversations')).toBeVisible();
  await ask(page, 'answered meanwhile');
  release();
  await expect(page.getByRole('link', { name: 'answered meanwhile' })).toBeVisible();
});

test('the keyboard alone leads from the sign-in to an answer', async ({ page }) => {
  const { email } = await signUp();
  const tabTo = async (name: RegExp) => {
    for (let step = 0; step < 40; step += 1) {
      const label = await page.evaluate(() => {
        const element = document.activeElement as HTMLInputElement | null;
        return element?.getAttribute('aria-label') ?? element?.labels?.[0]?.textContent ?? element?.textContent ?? '';
      });
      if (name.test(label)) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`Tab does not reach ${name}`);
  };
  await page.goto('/');
  await expect(page.getByLabel('E-mail')).toBeVisible();
  await tabTo(/^E-mail/);
  await page.keyboard.type(email);
  await tabTo(/^Password/);
  await page.keyboard.type('a-password');
  await page.keyboard.press('Enter');
  await expect(input(page)).toBeVisible();
  await tabTo(/^Model:/);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('combobox', { name: 'Search models' })).toBeFocused();
  await page.keyboard.type('cheap model');
  await expect(page.getByRole('listbox').getByRole('option', { selected: true })).toContainText('Cheap model');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: 'Model: Cheap model' })).toBeFocused();
  await page.keyboard.press('Shift+Tab');
  await expect(input(page)).toBeFocused();
  await page.keyboard.type('typed by hand');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('article', { name: 'Answer' })).toContainText('typed by hand');
  await expect(page.getByText('The answer is complete.')).toBeAttached();
});
