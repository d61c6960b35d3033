import { readFileSync } from 'node:fs';
import { signUp } from './people';
import { ask, expect, input, otherWindow, test } from './page';

test('the demo user signs in with one click', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('button', { name: 'Continue as the demo user' }).click();
  await expect(input(page)).toBeVisible();
  await page.reload();
  await expect(input(page)).toBeVisible();
});

test('an account is created, signs out and signs in again', async ({ page }) => {
  const email = `new-${Date.now()}@example.com`;
  await page.goto('/');
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill('correct horse');
  await page.getByRole('button', { name: 'Create the account' }).click();
  await expect(input(page)).toBeVisible();
  await page.getByRole('button', { name: `Account: ${email}` }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill('correct horse');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(input(page)).toBeVisible();
});

test('a wrong password is explained', async ({ page, faults }) => {
  await page.goto('/');
  await page.getByLabel('E-mail').fill('unknown@example.com');
  await page.getByLabel('Password').fill('wrong password');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(page.getByRole('alert')).toContainText('Invalid login credentials');
  expect(faults.splice(0).some((fault) => fault.startsWith('400'))).toBe(true);
});

test('a link by mail signs in where it was asked for', async ({ page }) => {
  const email = `link-${Date.now()}@example.com`;
  await page.goto('/');
  await page.getByRole('button', { name: 'Send a link instead' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByRole('button', { name: 'Send me a link' }).click();
  await expect(page.getByRole('status').filter({ hasText: email })).toBeVisible();
  const link = new RegExp(`magic link for ${email}: (http\\S+)`);
  await expect(() => expect(readFileSync(process.env.CONSOLE!, 'utf8')).toMatch(link)).toPass();
  await page.goto(link.exec(readFileSync(process.env.CONSOLE!, 'utf8'))![1]!);
  await expect(input(page)).toBeVisible();
});

test('a guest needs no account', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('button', { name: 'Try without an account' }).click();
  await expect(page.getByRole('button', { name: 'Account: Guest' })).toBeVisible();
});

test('a sign-out in another tab is noticed', async ({ page, context, open, person }) => {
  await open();
  const other = await context.newPage();
  await other.goto('/');
  await other.getByRole('button', { name: `Account: ${person.email}` }).click();
  await other.getByRole('menuitem', { name: 'Sign out' }).click();
  await expect(page.getByRole('button', { name: 'Sign in', exact: true })).toBeVisible();
});

test('the next user of a browser sees nothing of the one before', async ({ browser }) => {
  const [first, second] = [await signUp(), await signUp()];
  const page = await otherWindow(browser, first, 'cheap-one');
  await page.goto('/');
  await ask(page, 'a secret of the first user');
  await expect(page.getByRole('link', { name: 'a secret of the first user' })).toBeVisible();
  await page.getByRole('button', { name: `Account: ${first.email}` }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByLabel('E-mail').fill(second.email);
  await page.getByLabel('Password').fill('a-password');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(page.getByText('Your conversations appear here.')).toBeVisible();
  await expect(page.getByText('a secret of the first user')).toHaveCount(0);
  await page.context().close();
});
