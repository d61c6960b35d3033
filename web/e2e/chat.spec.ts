import { ask, expect, input, otherWindow, test } from './page';

const answer = (page: import('@playwright/test').Page) => page.getByRole('article', { name: 'Answer' });

test('an answer streams, shows what it cost, and is there after a reload', async ({ page, open }) => {
  await open('/', 'cheap-one');
  await ask(page, 'one two three');
  await expect(answer(page)).toContainText('one two three');
  await expect(answer(page)).toContainText(/Cheap model.*\$.*tokens.*(ms|s)/);
  await expect(page.getByRole('link', { name: 'one two three' })).toBeVisible();
  await page.reload();
  await expect(answer(page)).toContainText('one two three');
  await expect(answer(page)).toContainText(/Cheap model.*\$.*tokens/);
  await answer(page).getByRole('button', { name: 'Details of this answer' }).click();
  await expect(page.getByRole('dialog')).toContainText('openai:echo~page');
});

test('a running answer can be stopped, and its words stay', async ({ page, open }) => {
  await open('/', 'endless');
  await input(page).fill('go on');
  await page.keyboard.press('Enter');
  await expect(answer(page)).toContainText('on on on');
  await input(page).fill('typing goes on meanwhile');
  await page.getByRole('button', { name: 'Stop the answer' }).click();
  await expect(page.getByText('You stopped this answer.')).toBeVisible();
  await expect(answer(page)).toContainText('on on on');
  await expect(input(page)).toHaveValue('typing goes on meanwhile');
  await page.reload();
  await expect(answer(page)).toContainText('on on on');
});

test('a question is edited and an answer is asked for again', async ({ page, open }) => {
  await open('/', 'cheap-one');
  await ask(page, 'first words');
  await page.getByRole('button', { name: 'Answer again' }).click();
  await expect(answer(page)).toHaveAttribute('aria-busy', 'false');
  await expect(answer(page)).toHaveCount(1);
  await page.getByRole('article', { name: 'Your question' }).hover();
  await page.getByRole('button', { name: 'Edit the question' }).click();
  await page.getByRole('textbox', { name: 'Edit the question' }).fill('better words');
  await page.getByRole('button', { name: 'Ask again' }).click();
  await expect(answer(page)).toContainText('better words');
  await page.reload();
  await expect(answer(page)).toContainText('better words');
  await expect(page.getByRole('article')).toHaveCount(2);
});

test('Markdown has code, tables, formulas and links, and code is copied', async ({ page, open }) => {
  await open('/', 'rich');
  await ask(page, 'Which index helps?');
  await expect(answer(page).getByRole('cell', { name: '182 ms' })).toBeVisible();
  await expect(answer(page).locator('math').first()).toBeVisible();
  await expect(answer(page).locator('.hljs-keyword').first()).toBeVisible();
  await expect(answer(page).getByRole('link', { name: 'the manual' })).toHaveAttribute('rel', /noopener/);
  await answer(page).getByRole('button', { name: 'Copy the code' }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('create index usage_daily');
  const reasoning = answer(page).getByText('A composite one fits.');
  await expect(reasoning).toBeHidden();
  await answer(page).getByText('Reasoning').click();
  await expect(reasoning).toBeVisible();
});

test('a tool call shows its SQL and its rows', async ({ page, open }) => {
  await open('/', 'analyst');
  await ask(page, 'Which instrument was the highest?');
  await answer(page).getByText(/Used analyze data: \d+ rows/).click();
  await expect(answer(page).getByText('from bars_1d')).toBeVisible();
  await expect(answer(page).getByRole('cell', { name: 'GC' })).toBeVisible();
  await expect(answer(page)).toContainText('Gold had the highest price');
});

test('a hand-off names the other agent', async ({ page, open }) => {
  await open('/', 'handing');
  await ask(page, 'Tell me something.');
  await expect(answer(page)).toContainText('Handed over to the technical agent: This is about code.');
});

test('a failure before the answer is explained, and the retry answers', async ({ page, open, faults }) => {
  await open('/', 'failing');
  await input(page).fill('hello');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('The answer failed');
  await page.getByRole('button', { name: /^Model:/ }).click();
  await page.getByRole('combobox', { name: 'Search models' }).fill('cheap model');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(answer(page)).toContainText('hello');
  await expect(page.getByRole('alert')).toHaveCount(0);
  faults.splice(0); // the 502 of the failing model
});

test('an answer that ends too early keeps its words', async ({ page, open }) => {
  await open('/', 'cutting');
  await input(page).fill('hello');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(answer(page)).toContainText('one two');
  await expect(page.getByRole('button', { name: 'Try again' })).toBeVisible();
});

test('a reader who scrolled up or selects text stays there while words arrive', async ({ page, open }) => {
  await open('/', 'flowing');
  await input(page).fill('a long answer');
  await page.keyboard.press('Enter');
  await expect(answer(page)).toContainText('Line 1.');
  const transcript = page.getByRole('region', { name: 'Messages' });
  const toBottom = page.getByRole('button', { name: 'To the newest message' });
  const top = () => transcript.evaluate((element) => element.scrollTop);
  const arriving = async () => {
    const length = (await answer(page).innerText()).length;
    await expect.poll(async () => (await answer(page).innerText()).length).toBeGreaterThan(length + 60);
  };
  const selectWord = async () => {
    const { x, y, height } = (await transcript.boundingBox())!;
    await page.mouse.dblclick(x + 220, y + height / 2);
  };
  for (const leaveEnd of [() => page.mouse.wheel(0, -900), () => page.keyboard.press('PageUp'), () => page.keyboard.press('Shift+Space'), selectWord]) {
    await transcript.hover();
    await transcript.focus();
    await leaveEnd();
    await expect(toBottom).toBeVisible();
    await expect
      .poll(async () => {
        const before = await top(); // of a scroll that may still be moving
        await arriving();
        return (await top()) - before;
      })
      .toBe(0);
    await toBottom.click();
    await expect(toBottom).toHaveCount(0);
    await arriving();
    await expect(toBottom).toHaveCount(0);
  }
  const stop = page.getByRole('button', { name: 'Stop the answer' });
  await stop.click();
  await expect(answer(page)).toHaveAttribute('aria-busy', 'false');
  await selectWord(); // at the end, where no button leads back
  await page.getByRole('button', { name: 'Answer again' }).click();
  await expect(answer(page)).toContainText('Line 60.');
  await expect(toBottom).toHaveCount(0);
  await stop.click();
  await expect(answer(page)).toHaveAttribute('aria-busy', 'false');
});

test('an answer goes on after a reload, and a second window reads and stops it', async ({ page, open, person, browser }) => {
  await open('/', 'endless');
  await input(page).fill('go on');
  await page.keyboard.press('Enter');
  await expect(answer(page)).toContainText('on on on');
  await page.reload();
  await expect(answer(page)).toContainText('on on on');
  await expect(answer(page)).toHaveAttribute('aria-busy', 'true');
  const other = await otherWindow(browser, person, 'endless');
  await other.goto(page.url());
  await expect(answer(other)).toContainText('on on on');
  await other.getByRole('button', { name: 'Stop the answer' }).click();
  for (const each of [other, page]) {
    await expect(answer(each)).toHaveAttribute('aria-busy', 'false');
    await expect(each.getByText('You stopped this answer.')).toBeVisible();
  }
  await other.context().close();
});
