import { signUp } from './people';
import { ask, expect, input, otherWindow, test } from './page';

test('a new user does everything with the page alone', async ({ page, browser }) => {
  test.setTimeout(90_000);
  await page.goto('/');
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByLabel('E-mail').fill(`newcomer-${Date.now()}@example.com`);
  await page.getByLabel('Password').fill('a-long-password');
  await page.getByRole('button', { name: 'Create the account' }).click();
  await expect(input(page)).toBeVisible();

  await page.getByRole('button', { name: /^Model:/ }).click();
  await page.getByRole('combobox', { name: 'Search models' }).fill('dear');
  await expect(page.getByRole('option', { name: /Dear model/ })).toContainText('about $117.00 a month at ten questions a day');
  await page.getByRole('combobox', { name: 'Search models' }).fill('cheap model');
  await expect(page.getByRole('option', { name: /Cheap model/ })).toContainText(/about \$0\.0\d+ a month at ten questions a day/);
  await page.keyboard.press('Enter');
  await ask(page, 'How do I begin?');
  await page.getByRole('button', { name: 'Good answer' }).click();
  await expect(page.getByRole('button', { name: 'Good answer' })).toHaveAttribute('aria-pressed', 'true');

  await page.getByRole('button', { name: 'Invite' }).click();
  await page.getByRole('button', { name: 'Make a link' }).click();
  const link = await page.getByLabel('link of the invitation', { exact: true }).innerText();
  await page.getByRole('button', { name: 'Close' }).click();
  const guest = await otherWindow(browser, await signUp());
  await guest.goto(link);
  await guest.getByRole('button', { name: 'Join the conversation' }).click();
  await expect(guest.getByRole('article', { name: 'Answer' })).toContainText('How do I begin?');
  await expect(page.getByRole('button', { name: '2 members' })).toBeVisible(); // without a reload

  await page.getByRole('link', { name: 'Nodes and keys' }).click();
  await page.getByLabel('Name of the key').fill('laptop');
  await page.getByRole('button', { name: 'Make the key' }).click();
  await page.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Revoke laptop' }).click();
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await expect(page.getByRole('row', { name: /laptop/ })).toContainText('revoked');

  await page.getByRole('button', { name: 'Actions for How do I begin?' }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.goto('/'); // leaving the page does the deletion at once
  await expect(page.getByText('Your conversations appear here.')).toBeVisible();
  await expect(guest.getByText('There is no such conversation')).toBeVisible();
  await guest.context().close();
});
