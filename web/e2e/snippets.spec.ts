import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from './page';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The output of a program that gets the text on its standard input. Throws what it wrote when it failed. */
async function run(command: string[], text: string, token: string): Promise<string> {
  const child = spawn(command[0]!, command.slice(1), { cwd: ROOT, env: { ...process.env, TOKEN: token } });
  const written: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => written.push(String(piece)));
  child.stdin.end(text);
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${command.join(' ')}: ${written.join('')}`);
  return written.join('');
}

const CLAUDE = `claude() {
  curl -sS --fail-with-body "$ANTHROPIC_BASE_URL/v1/messages" -H "Authorization: Bearer $ANTHROPIC_AUTH_TOKEN" -H 'anthropic-version: 2023-06-01' \\
    -H 'Content-Type: application/json' -d '{"model": "'"$ANTHROPIC_MODEL"'", "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello."}]}'
}
`;
const OPEN_WEBUI = `open-webui() { curl -sS --fail-with-body "$OPENAI_API_BASE_URL/models" -H "Authorization: Bearer $OPENAI_API_KEY"; }
`;
const BASH = ['bash', '-e'];
const PYTHON = [process.env.PYTHON!, '-'];

/** How each snippet is run; programs that are not installed are replaced by the request that they send. */
const PROGRAMS: Record<string, { command?: string[]; before?: string; shows?: RegExp }> = {
  curl: { command: BASH, shows: /"type": ?"finish"/ },
  'OpenAI for Python': { command: PYTHON, shows: /\w/ },
  'OpenAI for JavaScript': { command: ['node', '--input-type=module'], shows: /\w/ },
  'OpenAI Agents': {}, // its package is no dependency of the tests
  'Anthropic for Python': { command: PYTHON, shows: /\w/ },
  'Claude Code': { command: BASH, before: CLAUDE, shows: /"type": ?"message"/ },
  'Open WebUI': { command: BASH, before: OPEN_WEBUI, shows: /"object": ?"list"/ },
};

test('each snippet runs as it is shown, with a key of the user, until the key is revoked', async ({ page, open }) => {
  test.setTimeout(120_000);
  await open('/connect');
  await page.getByLabel('Name of the key').fill('snippets');
  await page.getByRole('button', { name: 'Make the key' }).click();
  const key = await page.getByRole('dialog').locator('pre').innerText();
  await page.getByRole('button', { name: 'Close' }).click();
  await expect(page.getByRole('tab')).toHaveText(Object.keys(PROGRAMS));
  const snippets: string[] = [];
  for (const [name, { command, before = '', shows }] of Object.entries(PROGRAMS)) {
    await page.getByRole('tab', { name }).click();
    const snippet = await page.getByRole('tabpanel').locator('pre').innerText();
    snippets.push(snippet);
    if (command) expect(await run(command, before + snippet, key), name).toMatch(shows!);
  }
  await page.getByRole('button', { name: 'Revoke snippets' }).click();
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await expect(page.getByRole('row', { name: /snippets/ })).toContainText('revoked');
  await expect(run(PYTHON, snippets[1]!, key)).rejects.toThrow(/401/);
});
