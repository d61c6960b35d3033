import { readFile } from 'node:fs/promises';
import type { APIResponse, Route } from '@playwright/test';
import { ask as askOverApi, rest, signUp } from './people';
import { ask, changeUser, expect, input, otherWindow, test, watch } from './page';

function later<Value>() {
  let resolve!: (value: Value) => void;
  const promise = new Promise<Value>((settle) => (resolve = settle));
  return { promise, resolve };
}

test('a conversation is renamed, pinned, archived and brought back', async ({ page, open }) => {
  await open('/', 'cheap-one');
  await ask(page, 'a first title');
  const list = page.getByRole('navigation', { name: 'Conversations' });
  await list.getByRole('button', { name: 'Actions for a first title' }).click();
  await page.getByRole('menuitem', { name: 'Rename' }).click();
  await page.getByRole('textbox', { name: 'Title' }).fill('A better title');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'A better title' })).toBeVisible();
  await list.getByRole('button', { name: 'Actions for A better title' }).click();
  await page.getByRole('menuitem', { name: 'Pin' }).click();
  await expect(list.getByLabel('Pinned')).toBeVisible();
  await list.getByRole('button', { name: 'Actions for A better title' }).click();
  await page.getByRole('menuitem', { name: 'Archive' }).click();
  await expect(list.getByText('Your conversations appear here.')).toBeVisible();
  await list.getByRole('button', { name: 'Archived conversations' }).click();
  await list.getByRole('button', { name: 'Actions for A better title' }).click();
  await page.getByRole('menuitem', { name: 'Bring back' }).click();
  await list.getByRole('button', { name: 'Archived conversations' }).click();
  await list.getByRole('searchbox', { name: 'Search titles and messages' }).fill('better');
  await expect(list.getByRole('link', { name: 'A better title' })).toBeVisible();
  await list.getByRole('searchbox', { name: 'Search titles and messages' }).fill('worse');
  await expect(list.getByText('No title matches.')).toBeVisible();
});

test('a deletion can be undone, and is done when the page is left', async ({ page, open, person }) => {
  const id = await askOverApi(person, { message: 'delete me', model: 'cheap-one' });
  await open(`/c/${id}`);
  const remove = async () => {
    await page.getByRole('button', { name: 'Actions for delete me' }).click();
    await page.getByRole('menuitem', { name: 'Delete' }).click();
    await expect(page.getByRole('link', { name: 'delete me' })).toHaveCount(0);
  };
  await remove();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(page.getByRole('link', { name: 'delete me' })).toBeVisible();
  await remove();
  await page.close();
  await expect(async () => expect(await rest(`llm_conversations?id=eq.${id}&select=id`, { by: person })).toEqual([])).toPass();
});

test('a deleted conversation does not come back with the next page or in another tab, and its deletion is never lost', async ({ page, context, open, person }) => {
  const id = await askOverApi(person, { message: 'delete me', model: 'cheap-one' });
  const own = () => rest(`llm_conversations?id=eq.${id}&select=id`, { by: person });
  await open('/');
  const other = await context.newPage();
  await other.goto('/');
  await expect(other.getByRole('link', { name: 'delete me' })).toBeVisible();
  await page.getByRole('button', { name: 'Actions for delete me' }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.evaluate(() => (window.fetch = () => new Promise(() => undefined))); // as when the network is gone
  await page.reload();
  await expect(page.getByText('Your conversations appear here.')).toBeVisible();
  expect(await own()).toHaveLength(1);
  await expect(async () => expect(await own()).toEqual([])).toPass();
  await page.reload();
  await expect(page.getByText('Your conversations appear here.')).toBeVisible();
  expect(await other.getByText('Your conversations appear here.').isVisible()).toBe(true); // without waiting for its next reading
});

test('a deletion that the server cannot do is reported, and the conversation is shown again', async ({ page, open, person, faults }) => {
  await askOverApi(person, { message: 'delete me', model: 'cheap-one' });
  const missing = { code: 'PGRST202', details: null, hint: null, message: 'Could not find the function' };
  await page.route('**/rpc/delete_conversation', (route) => route.fulfill({ status: 404, json: missing, headers: { 'Access-Control-Allow-Origin': '*' } }));
  await open('/');
  await page.getByRole('button', { name: 'Actions for delete me' }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await expect(page.getByText('Could not find the function')).toBeVisible();
  await expect(page.getByRole('link', { name: 'delete me' })).toBeVisible();
  expect(faults.splice(0).every((fault) => fault.includes('404'))).toBe(true);
});

test('a lost deletion waits for its own user, whoever uses the browser meanwhile', async ({ page, open, person }) => {
  const id = await askOverApi(person, { message: 'delete me', model: 'cheap-one' });
  const isDeleted = () => expect(async () => expect(await rest(`llm_conversations?id=eq.${id}&select=id`, { by: person })).toEqual([])).toPass();
  await open('/');
  await page.getByRole('button', { name: 'Actions for delete me' }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  await page.evaluate(() => {
    window.fetch = () => new Promise(() => undefined);
    const stored = Object.entries(JSON.parse(localStorage.getItem('parley.deletions')!) as object);
    localStorage.setItem('parley.deletions', JSON.stringify(Object.fromEntries(stored.map(([key, each]) => [key, { ...each, due: 0 }]))));
  });
  await changeUser(page, await signUp());
  await page.goto('/');
  await expect(page.getByText('Your conversations appear here.')).toBeVisible();
  await changeUser(page, person);
  const list = later<APIResponse>();
  const shown = later<void>();
  const answerLate = async (route: Route) => {
    list.resolve(await route.fetch());
    await isDeleted();
    await route.fulfill({ response: await list.promise });
    shown.resolve();
  };
  await page.route('**/conversation_members?*', answerLate, { times: 1 });
  await page.route('**/rpc/delete_conversation', async (route) => {
    expect(await (await list.promise).text()).toContain(id); // the list is read before the deletion and shown after it
    await route.continue();
  });
  await page.goto('/');
  await shown.promise;
  await expect(page.getByText('Your conversations appear here.')).toBeVisible();
});

test('a conversation is saved as Markdown and as JSON', async ({ page, open, person }) => {
  const id = await askOverApi(person, { message: 'keep these words', model: 'cheap-one' });
  await open(`/c/${id}`);
  await expect(page.getByRole('article', { name: 'Answer' })).toBeVisible();
  for (const [entry, name, words] of [
    ['Save as Markdown', 'keep-these-words.md', '## Question\n\nkeep these words'],
    ['Save as JSON', 'keep-these-words.json', '"title": "keep these words"'],
  ] as const) {
    await page.getByRole('button', { name: 'Export and link' }).click();
    const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: entry }).click()]);
    expect(saved.suggestedFilename()).toBe(name);
    expect(await readFile(await saved.path(), 'utf8')).toContain(words);
  }
});

test('an answer is rated with a thumb, stars and a note', async ({ page, open, person }) => {
  await open('/', 'cheap-one');
  await ask(page, 'rate me');
  await page.getByRole('button', { name: 'Good answer' }).click();
  await expect(page.getByRole('button', { name: 'Good answer' })).toHaveAttribute('aria-pressed', 'true');
  await page.getByRole('button', { name: 'Rate with stars and a note' }).click();
  await page.getByText('4 stars').click({ force: true });
  await page.getByRole('textbox', { name: 'Note' }).fill('short and right');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('button', { name: 'Rated 4 of 5 stars' })).toBeVisible();
  const found = await rest('feedback?select=rating,sentiment,note', { by: person });
  expect(found).toEqual([{ rating: 4, sentiment: 'positive', note: 'short and right' }]);
});

test('two people share a conversation, and each sees what the other writes', async ({ page, open, browser }) => {
  const guest = await signUp();
  await open('/', 'cheap-one');
  await ask(page, 'our plan');
  await page.getByRole('button', { name: 'Invite' }).click();
  await page.getByText('Add by user id').click();
  await page.getByLabel('User id of a person').fill(guest.id);
  await page.getByRole('button', { name: 'Add to this conversation' }).click();
  await expect(page.getByText('The conversation is in their list')).toBeVisible();
  await page.getByRole('button', { name: 'Close' }).click();

  const other = await otherWindow(browser, guest, 'cheap-one');
  const faults = watch(other);
  await other.goto('/');
  await other.getByRole('link', { name: /our plan/ }).click();
  await expect(other.getByRole('article', { name: 'Question of Person 1' })).toContainText('our plan');
  await other.getByText('Ask the model').click();
  await input(other).fill('hello from the second person');
  await input(other).press('Enter');
  await expect(page.getByRole('article', { name: 'Question of Person 2' })).toContainText('hello from the second person');
  await input(page).fill('a second question');
  await input(page).press('Enter');
  await expect(other.getByText('a second question').first()).toBeVisible({ timeout: 10_000 });
  await other.getByRole('button', { name: '2 members' }).click();
  await other.getByRole('button', { name: 'Leave' }).click();
  await expect(other.getByText('Your conversations appear here.')).toBeVisible();
  expect(faults).toEqual([]);
  await other.context().close();
});

test('an unknown conversation says so', async ({ page, open }) => {
  await open('/c/00000000-0000-4000-8000-000000000000');
  await expect(page.getByText('There is no such conversation')).toBeVisible();
});

test('an edited question has two versions, and a copy begins at one of them', async ({ page, open }) => {
  await open('/', 'cheap-one');
  await ask(page, 'first words');
  await page.getByRole('article', { name: 'Your question' }).hover();
  await page.getByRole('button', { name: 'Edit the question' }).click();
  await page.getByRole('textbox', { name: 'Edit the question' }).fill('better words');
  await page.getByRole('button', { name: 'Ask again' }).click();
  const answer = page.getByRole('article', { name: 'Answer' });
  await expect(answer).toContainText('better words');
  await expect(page.getByRole('group', { name: 'Version 2 of 2' })).toBeVisible();
  await page.getByRole('button', { name: 'Earlier version' }).click();
  await expect(answer).toContainText('first words');
  await expect(page.getByRole('group', { name: 'Version 1 of 2' })).toBeVisible();
  await page.reload();
  await expect(answer).toContainText('first words');
  const before = page.url();
  await page.getByRole('button', { name: 'Continue in a copy' }).click();
  await expect(page).not.toHaveURL(before);
  await ask(page, 'only in the copy');
  await page.goto(before);
  await expect(answer).toHaveCount(1);
  await page.getByRole('button', { name: 'Later version' }).click();
  await expect(answer).toContainText('better words');
});

test('the search finds words in messages and shows them as text', async ({ page, open, person }) => {
  await askOverApi(person, { message: 'A list\n\n<img src=x onerror=alert(1)> the pelicans fly south', model: 'cheap-one' });
  await open();
  await page.getByRole('searchbox', { name: 'Search titles and messages' }).fill('pelican');
  const hits = page.getByRole('region', { name: 'Found in messages' });
  await expect(hits.getByRole('link').first()).toContainText('pelicans fly south');
  await expect(hits.locator('img')).toHaveCount(0);
  await expect(hits.locator('mark').first()).toHaveText('pelicans');
  await expect(hits).not.toContainText('⟪');
  await hits.getByRole('link').first().click();
  await expect(page.getByRole('article', { name: 'Your question' })).toContainText('pelicans');
});

test('a hit opens the conversation at its message, also among messages that are not loaded yet', async ({ page, open, person }) => {
  const id = await askOverApi(person, { message: 'the pelicans fly south', model: 'cheap-one' });
  const rows = Array.from({ length: 2100 }, (_, index) => ({ conversation_id: id, user_id: person.id, role: 'user', content: index === 40 ? 'a heron stands' : `message ${index}` }));
  for (const from of [0, 700, 1400]) await rest('messages', { by: person, method: 'POST', body: rows.slice(from, from + 700) });
  await open();
  const find = async (words: string) => {
    await page.getByRole('searchbox', { name: 'Search titles and messages' }).fill(words);
    await page.getByRole('region', { name: 'Found in messages' }).getByRole('link').filter({ has: page.locator('mark', { hasText: words }) }).first().click();
    return page.locator('.message-found');
  };
  await expect(await find('heron')).toBeInViewport();
  await expect(await find('heron')).toHaveText(/a heron stands/);
  await expect(await find('pelicans')).toHaveText(/the pelicans fly south/);
  await expect(page.locator('.message-found')).toBeInViewport();
  await page.goto(`/c/${id}`);
  await expect(page.getByText('message 2099')).toBeInViewport();
  await page.getByRole('region', { name: 'Messages' }).evaluate((element) => element.scrollTo(0, 0));
  await page.getByRole('button', { name: 'Earlier messages' }).click();
  await expect(page.getByText('message 1100', { exact: true })).toBeInViewport();
});

test('a reader stays at the answer that the search found when they look at its other version', async ({ page, open, person }) => {
  const id = await askOverApi(person, { message: 'the pelicans fly south', model: 'cheap-one' });
  await askOverApi(person, { message: 'the pelicans fly south', conversation_id: id, trigger: 'regenerate-message' });
  const rows = Array.from({ length: 200 }, (_, index) => ({ conversation_id: id, user_id: person.id, role: 'user', content: `message ${index}` }));
  await rest('messages', { by: person, method: 'POST', body: rows });
  await open();
  await page.getByRole('searchbox', { name: 'Search titles and messages' }).fill('pelicans');
  await page.getByRole('region', { name: 'Found in messages' }).getByRole('link').first().click();
  await expect(page.locator('.message-found')).toBeInViewport();
  await page.getByRole('button', { name: 'Earlier version' }).click();
  await expect(page.getByRole('group', { name: 'Version 1 of 2' })).toBeInViewport();
});

test('a member pins and archives for themselves alone', async ({ page, open, person, browser }) => {
  const guest = await signUp();
  const id = await askOverApi(person, { message: 'a common plan', model: 'cheap-one' });
  await rest('conversation_members', { by: person, method: 'POST', body: { conversation_id: id, user_id: guest.id } });
  await askOverApi(person, { message: 'a newer conversation', model: 'cheap-one' });
  const other = await otherWindow(browser, guest);
  await other.goto('/');
  await other.getByRole('button', { name: 'Actions for a common plan' }).click();
  await expect(other.getByRole('menuitem')).toHaveText(['Pin', 'Archive']);
  await other.getByRole('menuitem', { name: 'Archive' }).click();
  await expect(other.getByText('Your conversations appear here.')).toBeVisible();
  await open('/');
  const list = page.getByRole('navigation', { name: 'Conversations' });
  await expect(list.getByRole('listitem').first()).toContainText('a newer conversation');
  await list.getByRole('button', { name: 'Actions for a common plan' }).click();
  await page.getByRole('menuitem', { name: 'Pin' }).click();
  await expect(list.getByRole('listitem').first()).toContainText('a common plan');
  const members = await rest(`conversation_members?conversation_id=eq.${id}&order=role.desc&select=role,pinned_at,archived_at`, { by: person });
  expect(members).toMatchObject([{ role: 'owner', archived_at: null }, { role: 'member', pinned_at: null }]);
  await other.context().close();
});

test('people join by a link and by their e-mail address', async ({ page, open, person, browser }) => {
  const [byLink, byMail] = [await signUp(), await signUp()];
  const id = await askOverApi(person, { message: 'a common plan', model: 'cheap-one' });
  await open(`/c/${id}`);
  await page.getByRole('button', { name: 'Invite' }).click();
  await page.getByRole('button', { name: 'Make a link' }).click();
  const link = await page.getByLabel('link of the invitation', { exact: true }).innerText();
  await page.getByLabel(/E-mail address of the person/).fill(byMail.email);
  await page.getByRole('button', { name: 'Make a link' }).click();
  await expect(page.getByRole('list', { name: 'Open invitations' })).toContainText(byMail.email);

  const first = await otherWindow(browser, byLink);
  await first.goto(link);
  await first.getByRole('button', { name: 'Join the conversation' }).click();
  await expect(first.getByText('a common plan').first()).toBeVisible();
  await expect(first.getByRole('article', { name: 'Answer' })).toContainText(/paid by \S/);
  const second = await otherWindow(browser, byMail);
  await second.goto('/');
  await second.getByRole('list', { name: 'Invitations to you' }).getByRole('button', { name: 'Join' }).click();
  await expect(second.getByRole('article', { name: 'Answer' })).toContainText('a common plan');
  await page.getByRole('button', { name: 'Revoke the invitation of a link' }).click();
  await expect(page.getByRole('list', { name: 'Open invitations' })).toHaveCount(0);
  expect(await rest(`conversation_members?conversation_id=eq.${id}&select=user_id`, { by: person })).toHaveLength(3);
  await first.context().close();
  await second.context().close();
});

test('a shared copy is read by others until it is revoked', async ({ page, open, person, browser }) => {
  const id = await askOverApi(person, { message: 'words for others', model: 'cheap-one' });
  await open(`/c/${id}`);
  await page.getByRole('button', { name: 'Export and link' }).click();
  await page.getByRole('menuitem', { name: 'Share a copy' }).click();
  await page.getByRole('button', { name: 'Make a link to a copy' }).click();
  const link = await page.getByLabel('link of the copy', { exact: true }).innerText();
  const other = await otherWindow(browser, await signUp());
  await other.goto(link);
  await expect(other.getByRole('article', { name: 'Answer' })).toContainText('words for others');
  await expect(other.getByRole('article', { name: 'Question' })).toContainText('Person 1');
  await page.getByRole('button', { name: /Revoke the copy/ }).click();
  await expect(page.getByText('The link is invalid now.')).toBeVisible();
  await other.reload();
  await expect(other.getByText('This copy cannot be read')).toBeVisible();
  await other.context().close();
});
