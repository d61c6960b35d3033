import { ask as askOverApi, rest } from './people';
import { expect, input, test } from './page';

test('of a thousand messages only those near the view are in the document', async ({ page, open, person }) => {
  const id = await askOverApi(person, { message: 'the first question', model: 'rich' });
  const messages = Array.from({ length: 998 }, (_, index) => ({ conversation_id: id, user_id: person.id, role: 'user', content: `message ${index} ` + 'word '.repeat(index % 60) }));
  await rest('messages', { by: person, method: 'POST', body: messages });
  await open(`/c/${id}`);
  await expect(page.getByText('message 997')).toBeVisible();
  expect(await page.getByRole('article').count()).toBeLessThan(60);
  const transcript = page.getByRole('region', { name: 'Messages' });
  await expect(async () => {
    await transcript.evaluate((element) => element.scrollTo(0, 0));
    await expect(page.getByText('the first question').first()).toBeInViewport({ timeout: 500 });
  }).toPass();
});

test('a megabyte of pasted text leaves the input usable and says that it is too long', async ({ page, open }) => {
  await open('/', 'cheap-one');
  await input(page).focus();
  await page.evaluate((text) => navigator.clipboard.writeText(text), 'pasted text '.repeat(90_000));
  await page.keyboard.press('ControlOrMeta+v');
  await expect(page.getByText(/too long for one question/)).toBeVisible();
  await expect(page.getByRole('button', { name: 'Send' })).toBeDisabled();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.type('short');
  await expect(input(page)).toHaveValue('short');
  await expect(page.getByRole('button', { name: 'Send' })).toBeEnabled();
});
