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

test('a megabyte of pasted text is refused with a reason, and a long one leaves the input usable', async ({ page, open }) => {
  await open('/', 'cheap-one');
  const paste = async (text: string) => {
    await input(page).focus();
    await page.evaluate((copied) => navigator.clipboard.writeText(copied), text);
    await page.keyboard.press('ControlOrMeta+v');
  };
  await paste('pasted text '.repeat(90_000));
  await expect(page.getByText(/too long for one question/)).toBeVisible();
  await paste('a long line\n'.repeat(4_000));
  await expect(page.getByText(/too long for one question/)).toHaveCount(0);
  await page.keyboard.type('the end');
  await expect(input(page)).toHaveValue(/the end$/);
  await expect(page.getByRole('button', { name: 'Send' })).toBeEnabled();
});
