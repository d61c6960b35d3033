import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { expect, test } from 'vitest';
import { readAgain } from '../src/lib/readAgain';

test('a change is seen, also by a list whose first read began before it', async () => {
  const queries = new QueryClient();
  const answers: ((rows: string) => void)[] = [];
  const observer = new QueryObserver(queries, { queryKey: ['list', 'mine'], queryFn: () => new Promise<string>((resolve) => answers.push(resolve)) });
  const stop = observer.subscribe(() => undefined);
  const done = readAgain(queries, ['list']);
  await expect.poll(() => answers.length).toBe(2);
  for (const [place, answer] of answers.entries()) answer(['before the change', 'after the change'][place]!);
  await done;
  expect(observer.getCurrentResult()).toMatchObject({ data: 'after the change', isError: false });
  stop();
});

test('of two changes in a row, the first is also done only when the newest list is there', async () => {
  const queries = new QueryClient();
  const answers: ((rows: string) => void)[] = [];
  queries.setQueryData(['list'], 'old');
  const observer = new QueryObserver(queries, { queryKey: ['list'], staleTime: Infinity, queryFn: () => new Promise<string>((resolve) => answers.push(resolve)) });
  const stop = observer.subscribe(() => undefined);
  const first = readAgain(queries, ['list']);
  await expect.poll(() => answers.length).toBe(1);
  const second = readAgain(queries, ['list']);
  await expect.poll(() => answers.length).toBe(2);
  const seen = first.then(() => observer.getCurrentResult().data);
  answers[0]!('between');
  answers[1]!('new');
  await second;
  expect(await seen).toBe('new');
  stop();
});
