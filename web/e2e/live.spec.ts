import type { Page } from '@playwright/test';
import { ask as askOverApi, type Person, rest, signUp } from './people';
import { ask, expect, input, otherWindow, signIn, test, watch } from './page';

/** The broadcasts that a page receives, as `event role` or `event state`. */
function broadcasts(page: Page): string[] {
  const found: string[] = [];
  page.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => {
      const [, , , kind, sent] = JSON.parse(String(payload)) as [unknown, unknown, string, string, { event?: string; payload?: { role?: string; state?: string } }];
      if (kind === 'broadcast') found.push(`${sent.event} ${sent.payload?.role ?? sent.payload?.state ?? ''}`.trim());
      if (kind === 'phx_reply') found.push('joined');
    }),
  );
  return found;
}

async function groupOf(owner: Person, member: Person): Promise<string> {
  const id = await askOverApi(owner, { message: 'our plan', model: 'cheap-one' });
  await rest('conversation_members', { by: owner, method: 'POST', body: { conversation_id: id, user_id: member.id } });
  return id;
}

test('a member sees a message and an answer by Realtime, long before the page would ask', async ({ page, open, person, browser }) => {
  const guest = await signUp();
  const id = await groupOf(person, guest);
  const other = await otherWindow(browser, guest);
  const [received, faults] = [broadcasts(other), watch(other)];
  await other.goto(`/c/${id}`);
  await expect.poll(() => received).toContain('joined');
  const reads: string[] = [];
  other.on('request', (request) => request.url().endsWith('/rpc/ui_messages') && reads.push(received.at(-1) ?? 'none'));
  await rest('messages', { by: person, method: 'POST', body: { conversation_id: id, content: 'words between people' } });
  await expect(other.getByText('words between people')).toBeVisible();
  await open(`/c/${id}`, 'cheap-one');
  await expect(page.getByText('words between people')).toBeVisible();
  await ask(page, 'a question of the first person');
  await expect(other.getByRole('article', { name: 'Answer' })).toHaveCount(2);
  await expect.poll(() => received).toEqual(expect.arrayContaining(['message user', 'turn started', 'turn settled', 'message assistant']));
  expect(reads).not.toContain('none'); // each read follows a broadcast, or the join
  expect(faults).toEqual([]);
  await other.context().close();
});

test('another tab of the same person follows a turn by Realtime', async ({ page, open, person, context }) => {
  const id = await askOverApi(person, { message: 'first words', model: 'cheap-one' });
  await open(`/c/${id}`, 'cheap-one');
  const other = await context.newPage();
  const received = broadcasts(other);
  await other.goto(`/c/${id}`);
  await expect.poll(() => received).toContain('joined');
  await expect(page.getByRole('article', { name: 'Answer' })).toHaveCount(1);
  await ask(page, 'asked in the first tab');
  await expect(other.getByRole('article', { name: 'Answer' })).toHaveCount(2);
  await expect(other.getByRole('article', { name: 'Answer' }).last()).toContainText('asked in the first tab');
  expect(received).toContain('turn started');
});

test('without Realtime a group asks every few seconds', async ({ person, browser }) => {
  const guest = await signUp();
  const id = await groupOf(person, guest);
  const other = await otherWindow(browser, guest);
  await other.routeWebSocket(/realtime/, (socket) => void socket.close({ code: 1011, reason: 'no Realtime here' }));
  await other.goto(`/c/${id}`);
  await expect(other.getByRole('article', { name: 'Answer' })).toContainText('our plan');
  await rest('messages', { by: person, method: 'POST', body: { conversation_id: id, content: 'words between people' } });
  await expect(other.getByText('words between people')).toBeVisible();
  await other.context().close();
});

test('the conversation closes on the page of a removed member', async ({ person, browser }) => {
  const guest = await signUp();
  const id = await groupOf(person, guest);
  const other = await otherWindow(browser, guest);
  const received = broadcasts(other);
  await other.goto(`/c/${id}`);
  await expect(other.getByRole('article', { name: 'Answer' })).toContainText('our plan');
  await expect.poll(() => received).toContain('joined');
  await rest(`conversation_members?conversation_id=eq.${id}&user_id=eq.${guest.id}`, { by: person, method: 'DELETE' });
  await expect(other.getByText('There is no such conversation')).toBeVisible();
  await expect(other.getByText('our plan')).toHaveCount(0);
  await other.context().close();
});

test('a message of another member during an answer is shown afterwards', async ({ page, context, person }) => {
  const guest = await signUp();
  const id = await groupOf(person, guest);
  await signIn(context, person, 'endless');
  const received = broadcasts(page);
  await page.goto(`/c/${id}`);
  await expect.poll(() => received).toContain('joined');
  await input(page).fill('go on');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('article', { name: 'Answer' }).last()).toContainText('on on on');
  await rest('messages', { by: guest, method: 'POST', body: { conversation_id: id, content: 'meanwhile' } });
  await page.getByRole('button', { name: 'Stop the answer' }).click();
  await expect(page.getByText('meanwhile')).toBeVisible();
});
