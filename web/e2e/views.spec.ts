import AxeBuilder from '@axe-core/playwright';
import { ask, askForAccess, newAdmin, type Person } from './people';
import { expect, type Page } from '@playwright/test';
import { test } from './page';

test.describe.configure({ mode: 'default' });
let admin: Person;
let conversation: string;
let consent: string;

test.beforeAll(async () => {
  admin = await newAdmin();
  conversation = await ask(admin, { message: 'Which index helps?', model: 'rich' });
  consent = await askForAccess();
});

const VIEWS: [name: string, path: () => string, ready: (page: Page) => Promise<void>][] = [
  ['welcome', () => '/', async (page) => expect(page.getByText('What would you like to know?')).toBeVisible()],
  ['conversation', () => `/c/${conversation}`, async (page) => expect(page.locator('math').first()).toBeVisible()],
  ['usage', () => '/usage', async (page) => expect(page.getByRole('region', { name: 'Use by conversation' })).toBeVisible()],
  ['connect', () => '/connect', async (page) => expect(page.getByRole('tabpanel')).toBeVisible()],
  ['consent', () => consent, async (page) => expect(page.getByRole('button', { name: 'Allow' })).toBeVisible()],
  ['privacy', () => '/privacy', async (page) => expect(page.getByLabel('Length of answers')).toBeVisible()],
  ['dashboard', () => '/admin', async (page) => expect(page.getByRole('region', { name: 'Turns' }).last()).toBeVisible()],
  ['catalogue', () => '/admin/catalogue', async (page) => expect(page.getByText('Add a model to an alias')).toBeVisible()],
  ['limits', () => '/admin/limits', async (page) => expect(page.getByText('All users together')).toBeVisible()],
];

/** Waits for the end of transitions, in which colours are between two themes; spinners go on for ever. */
const settled = (page: Page) =>
  page.waitForFunction(async () => {
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    const isEnding = (each: Animation) => each.playState === 'running' && each.effect?.getComputedTiming().endTime !== Infinity;
    return !document.getAnimations().some(isEnding);
  });

const axe = async (page: Page, rules?: string[]) => {
  await settled(page);
  const builder = new AxeBuilder({ page });
  const { violations } = await (rules ? builder.withRules(rules) : builder).analyze();
  return violations.map((each) => `${each.id} ${each.nodes[0]?.target.join(' ')}`);
};

for (const [name, path, ready] of VIEWS) {
  test.describe(name, () => {
    test.use({ person: async ({}, use) => use(admin) });

    test(`axe finds nothing in the view ${name}; dark and on a phone it is legible and fits`, async ({ page, open }) => {
      test.setTimeout(45_000);
      await open(path());
      await ready(page);
      expect(await axe(page)).toEqual([]);
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.setViewportSize({ width: 360, height: 740 });
      expect(await axe(page, ['color-contrast', 'button-name', 'link-name', 'target-size'])).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    });
  });
}

test.describe('windows', () => {
  test.use({ person: async ({}, use) => use(admin) });

  test('axe finds nothing in the sign-in, the model menu and a dialog', async ({ page, open, browser }) => {
    test.setTimeout(45_000);
    await open(`/c/${conversation}`);
    await page.getByRole('button', { name: /^Model:/ }).click();
    await expect(page.getByRole('combobox', { name: 'Search models' })).toBeVisible();
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: /Invite/ }).click();
    expect(await axe(page)).toEqual([]);
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('button', { name: 'Export and link' }).click();
    await page.getByRole('menuitem', { name: 'Share a copy' }).click();
    await page.getByRole('button', { name: 'Make a link to a copy' }).click();
    const link = await page.getByLabel('link of the copy', { exact: true }).innerText();
    expect(await axe(page)).toEqual([]);
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('searchbox').fill('index');
    await expect(page.getByRole('region', { name: 'Found in messages' }).getByRole('link').first()).toBeVisible();
    expect(await axe(page)).toEqual([]);
    await page.goto(link);
    await page.reload();
    await expect(page.locator('math').first()).toBeVisible();
    expect(await axe(page)).toEqual([]);
    await page.goto('/invite#unknown');
    await expect(page.getByRole('button', { name: 'Join the conversation' })).toBeVisible();
    expect(await axe(page)).toEqual([]);
    const context = await browser.newContext({ baseURL: process.env.PAGE_URL });
    const login = await context.newPage();
    await login.goto('/');
    await expect(login.getByLabel('E-mail')).toBeVisible();
    expect(await axe(login)).toEqual([]);
    await context.close();
  });
});
