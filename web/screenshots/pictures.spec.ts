import { expect, type Page, test } from '@playwright/test';
import { ask, newAdmin, type Person } from '../e2e/people';
import { ask as askOnPage, signIn } from '../e2e/page';

const FOLDER = process.env.PICTURES ?? '../docs/images';
const TITLES = ['Plan the database upgrade', 'Compare two suppliers', 'Draft a release note', 'Gold and crude oil in October', 'Unit tests for the parser'];
const MODELS = ['claude-haiku-4-5', 'gemini-2-5-flash-lite'];

let person: Person;

/** Conversations of the last minutes, so that the pages have something to show. */
test.beforeAll(async () => {
  person = await newAdmin('ada@example.com');
  for (const [index, title] of TITLES.entries()) {
    await ask(person, { message: title, model: MODELS[index % MODELS.length] });
  }
});

const VIEWS: [name: string, show: (page: Page) => Promise<void>][] = [
  ['chat', async (page) => {
    await page.goto('/');
    await askOnPage(page, 'Which index helps a query by user and day?');
    await expect(page.locator('math').first()).toBeVisible();
    await page.getByRole('region', { name: 'Messages' }).evaluate((element) => element.scrollTo(0, 0));
  }],
  ['models', async (page) => {
    await page.goto('/');
    await page.getByRole('button', { name: /^Model:/ }).click();
    await expect(page.getByRole('combobox', { name: 'Search models' })).toBeVisible();
  }],
  ['usage', async (page) => {
    await page.goto('/usage');
    await expect(page.getByRole('region', { name: 'Use by model' })).toBeVisible();
  }],
  ['dashboard', async (page) => {
    await page.goto('/admin');
    await expect(page.getByRole('group', { name: 'Turns' })).toBeVisible();
  }],
  ['catalogue', async (page) => {
    await page.goto('/admin/catalogue');
    await expect(page.getByText('Add an arm')).toBeVisible();
  }],
  ['limits', async (page) => {
    await page.goto('/admin/limits');
    await expect(page.getByText('All users together')).toBeVisible();
  }],
  ['connect', async (page) => {
    await page.goto('/connect');
    await expect(page.getByRole('tabpanel')).toBeVisible();
  }],
  ['privacy', async (page) => {
    await page.goto('/privacy');
    await expect(page.getByLabel('Length of answers')).toBeVisible();
  }],
];
const IN_README = new Set(['chat-light', 'dashboard-dark', 'chat-dark-phone']);

for (const colorScheme of ['light', 'dark'] as const) {
  for (const [size, viewport] of [['', { width: 1280, height: 800 }], ['-phone', { width: 390, height: 780 }]] as const) {
    test(`pictures, ${colorScheme}${size}`, async ({ browser }) => {
      const context = await browser.newContext({ baseURL: process.env.PAGE_URL, colorScheme, viewport, locale: 'en-GB', deviceScaleFactor: process.env.PICTURES ? 1 : 1.5 });
      await signIn(context, person, 'gpt-4o');
      const page = await context.newPage();
      for (const [name, show] of VIEWS) {
        const picture = `${name}-${colorScheme}${size}`;
        if (!process.env.PICTURES && !IN_README.has(picture)) continue;
        await show(page);
        await page.waitForTimeout(400); // fonts and charts
        await page.screenshot({ path: `${FOLDER}/${picture}.png` });
      }
      await context.close();
    });
  }
}
