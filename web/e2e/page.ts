import { type Browser, type BrowserContext, expect, type Page, test as base } from '@playwright/test';
import { type Person, signUp } from './people';

const STORAGE_KEY = `sb-${new URL(process.env.SUPABASE_URL ?? 'http://127.0.0.1').hostname.split('.')[0]}-auth-token`;

/** Lets a context begin with the session of a user, and with a model. */
export async function signIn(context: BrowserContext, person: Person, model: string | null = null): Promise<void> {
  await context.addInitScript(
    ([key, session, chosen]) => {
      if (localStorage.getItem('e2e')) return; // once, so that a sign-out lasts
      localStorage.setItem('e2e', '1');
      localStorage.setItem(key!, session!);
      if (chosen) localStorage.setItem('parley.model', JSON.stringify(chosen));
    },
    [STORAGE_KEY, JSON.stringify(person.session), model] as const,
  );
}

/** Gives the browser's session to another user, as a sign-in does; the next page has it. */
export async function changeUser(page: Page, person: Person): Promise<void> {
  await page.evaluate(([key, session]) => localStorage.setItem(key!, session!), [STORAGE_KEY, JSON.stringify(person.session)]);
}

/** Collects what a page must never do: errors in the console, uncaught errors, refused or failed requests. */
export function watch(page: Page): string[] {
  const faults: string[] = [];
  page.on('console', (message) => message.type() === 'error' && faults.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('response', (response) => response.status() >= 400 && faults.push(`${response.status()}: ${response.url()}`));
  return faults;
}

interface Fixtures {
  person: Person;
  faults: string[];
  /** Opens the page as `person`, with a model chosen. */
  open: (path?: string, model?: string | null) => Promise<void>;
}

export const test = base.extend<Fixtures>({
  person: async ({}, use) => use(await signUp()),
  faults: [
    async ({ page }, use) => {
      const faults = watch(page);
      await use(faults);
      expect(faults).toEqual([]);
    },
    { auto: true },
  ],
  open: async ({ page, context, person }, use) =>
    use(async (path = '/', model = null) => {
      await signIn(context, person, model);
      await page.goto(path);
    }),
});

/** Another user's window. */
export async function otherWindow(browser: Browser, person: Person, model: string | null = null): Promise<Page> {
  const context = await browser.newContext({ baseURL: process.env.PAGE_URL, locale: 'en-GB' });
  await signIn(context, person, model);
  return context.newPage();
}

export const input = (page: Page) => page.getByRole('textbox', { name: 'Your question', exact: true });

/** Asks and waits for the end of the answer; counts nothing, because earlier messages may still be loading. */
export async function ask(page: Page, text: string): Promise<void> {
  await input(page).fill(text);
  await input(page).press('Enter');
  await expect(page.getByRole('article', { name: 'Your question' }).last()).toContainText(text.slice(0, 20).trim());
  const last = page.getByRole('article').last();
  await expect(last).toHaveAccessibleName('Answer');
  await expect(last).toHaveAttribute('aria-busy', 'false');
}

export { expect };
