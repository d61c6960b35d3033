import AxeBuilder from '@axe-core/playwright';
import { ask, newAdmin, type Person } from './people';
import { expect, type Page } from '@playwright/test';
import { test } from './page';

let admin: Person;
let conversation: string;

test.beforeAll(async () => {
  admin = await newAdmin();
  conversation = await ask(admin, { message: 'Which index helps?', model: 'rich' });
});

const VIEWS: [name: string, path: () => string, ready: (page: Page) => Promise<void>][] = [
  ['welcome', () => '/', async (page) => expect(page.getByText('What would you like to know?')).toBeVisible()],
  ['conversation', () => `/c/${conversation}`, async (page) => expect(page.locator('math').first()).toBeVisible()],
  ['usage', () => '/usage', async (page) => expect(page.getByRole('region', { name: 'Use by conversation' })).toBeVisible()],
  ['connect', () => '/connect', async (page) => expect(page.getByRole('tabpanel')).toBeVisible()],
  ['privacy', () => '/privacy', async (page) => expect(page.getByLabel('Length of answers')).toBeVisible()],
  ['dashboard', () => '/admin', async (page) => expect(page.getByRole('region', { name: 'Turns' }).last()).toBeVisible()],
  ['catalogue', () => '/admin/catalogue', async (page) => expect(page.getByText('Add an arm')).toBeVisible()],
  ['limits', () => '/admin/limits', async (page) => expect(page.getByText('All users together')).toBeVisible()],
];

for (const [theme, width] of [['light', 1280], ['dark', 360]] as const) {
  test.describe(`${theme}, ${width} pixels wide`, () => {
    test.use({ colorScheme: theme, viewport: { width, height: 800 }, person: async ({}, use) => use(admin) });

    test('axe finds nothing in any view, and none is wider than the window', async ({ page, open }) => {
      test.setTimeout(60_000);
      await open('/');
      for (const [name, path, ready] of VIEWS) {
        await page.goto(path());
        await ready(page);
        const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
        expect(violations.map((each) => `${name}: ${each.id} ${each.nodes[0]?.target.join(' ')}`)).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth), name).toBe(width);
      }
    });

    test('axe finds nothing in the sign-in, the model menu and a dialog', async ({ page, open, browser }) => {
      const axe = async (of: Page) => (await new AxeBuilder({ page: of }).analyze()).violations.map((each) => `${each.id} ${each.nodes[0]?.target.join(' ')}`);
      await open(`/c/${conversation}`);
      await page.getByRole('button', { name: /^Model:/ }).click();
      await expect(page.getByRole('combobox', { name: 'Search models' })).toBeVisible();
      expect(await axe(page)).toEqual([]);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: /Invite/ }).click();
      expect(await axe(page)).toEqual([]);
      const context = await browser.newContext({ baseURL: process.env.PAGE_URL, colorScheme: theme, viewport: { width, height: 800 } });
      const login = await context.newPage();
      await login.goto('/');
      await expect(login.getByLabel('E-mail')).toBeVisible();
      expect(await axe(login)).toEqual([]);
      await context.close();
    });
  });
}
