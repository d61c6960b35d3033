import { expect, input, test } from './page';

const PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==', 'base64');
const picture = { name: 'cat.png', mimeType: 'image/png', buffer: PIXEL };

test('a picture is sent, shown without another host, and there after a reload and an edit', async ({ page, open }) => {
  await open('/', 'cheap-one');
  await page.getByLabel('Files of the question').setInputFiles([picture, { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('one two') }]);
  await expect(page.getByRole('img', { name: 'cat.png' })).toBeVisible();
  await page.getByRole('button', { name: 'Remove notes.txt' }).click();
  await input(page).fill('which colour');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('article', { name: 'Answer' })).toContainText('which colour');
  const shown = page.getByRole('article', { name: 'Your question' }).getByRole('img', { name: 'cat.png' });
  await expect(shown).toHaveAttribute('src', /^blob:/);
  const [file, words] = [await shown.boundingBox(), await page.getByText('which colour').first().boundingBox()];
  expect(file!.y).toBeLessThan(words!.y); // above the words, not beside them
  await page.reload();
  await expect(shown).toHaveAttribute('src', /^blob:/);
  await page.getByRole('article', { name: 'Your question' }).hover();
  await page.getByRole('button', { name: 'Edit the question' }).click();
  await page.getByRole('textbox', { name: 'Edit the question' }).fill('and now');
  await page.getByRole('button', { name: 'Ask again' }).click();
  await expect(page.getByRole('article', { name: 'Answer' })).toContainText('and now');
  await page.reload();
  await expect(shown).toBeVisible();
});

test('a pasted picture and a dropped one are added, and a file of another kind is refused', async ({ page, open }) => {
  await open('/', 'cheap-one');
  const give = (kind: 'paste' | 'drop', name: string, type: string) =>
    input(page).evaluate(
      (element, [kind, name, type, data]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(data!), (each) => each.charCodeAt(0))], name!, { type }));
        const init = { bubbles: true, cancelable: true };
        element.dispatchEvent(kind === 'drop' ? new DragEvent('drop', { ...init, dataTransfer: transfer }) : new ClipboardEvent('paste', { ...init, clipboardData: transfer }));
      },
      [kind, name, type, PIXEL.toString('base64')] as const,
    );
  await give('paste', 'pasted.png', 'image/png');
  await expect(page.getByRole('img', { name: 'pasted.png' })).toBeVisible();
  await give('drop', 'dropped.png', 'image/png');
  await expect(page.getByRole('img', { name: 'dropped.png' })).toBeVisible();
  await give('drop', 'film.mp4', 'video/mp4');
  await expect(page.getByText('film.mp4 is neither a picture, a PDF nor text.')).toBeVisible();
});
