import { askForAccess } from './people';
import { expect, test } from './page';

test('a person allows an app and takes the access back', async ({ page, open }) => {
  await open(await askForAccess('Tea helper'));
  await expect(page.getByRole('heading', { name: 'Tea helper asks for access' })).toBeVisible();
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.waitForURL(/\/callback\?code=.+&state=kept/);
  await page.goto('/connect');
  await page.getByRole('button', { name: 'Revoke Tea helper' }).click();
  await expect(page.getByText('No app has access.')).toBeVisible();
});

test('a person denies an app', async ({ page, open }) => {
  await open(await askForAccess());
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.waitForURL(/\/callback\?error=access_denied/);
});

test('someone who is not signed in signs in first', async ({ page }) => {
  await page.goto(await askForAccess());
  await page.getByRole('button', { name: 'Continue as the demo user' }).click();
  await expect(page.getByRole('heading', { name: 'Helper asks for access' })).toBeVisible();
});

test('a request that is not known is explained', async ({ page, open, faults }) => {
  await open('/oauth/consent?authorization_id=unknown');
  await expect(page.getByRole('alert')).toContainText('authorization not found');
  expect(faults.splice(0).some((fault) => fault.startsWith('404'))).toBe(true);
});
