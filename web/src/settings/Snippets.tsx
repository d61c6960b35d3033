import { type KeyboardEvent, useState } from 'react';
import { useAction } from '../lib/hooks';
import { useModels } from '../lib/models';
import { accessToken, config } from '../lib/supabase';
import { showToast } from '../lib/toasts';
import { CopyBlock } from '../ui/parts';

/** Ready to paste: the programs by name, with the address and a model of this deployment. */
export function snippets(url: string, model: string): Record<string, string> {
  return {
    curl: `curl -N ${url} -H "Authorization: Bearer $TOKEN" \\\n  -H 'Content-Type: application/json' -d '{"message": "Say hello."}'`,
    'OpenAI for Python': [
      'import os',
      'from openai import OpenAI',
      '',
      `client = OpenAI(base_url="${url}/v1", api_key=os.environ["TOKEN"])`,
      'answer = client.chat.completions.create(',
      `    model="${model}", messages=[{"role": "user", "content": "Say hello."}]`,
      ')',
      'print(answer.choices[0].message.content)',
    ].join('\n'),
    'OpenAI for JavaScript': [
      "import OpenAI from 'openai';",
      '',
      `const client = new OpenAI({ baseURL: '${url}/v1', apiKey: process.env.TOKEN });`,
      'const answer = await client.chat.completions.create({',
      `  model: '${model}', messages: [{ role: 'user', content: 'Say hello.' }],`,
      '});',
      'console.log(answer.choices[0].message.content);',
    ].join('\n'),
    'OpenAI Agents': [
      'import asyncio, os',
      'from agents import Agent, Runner, set_default_openai_client, set_tracing_disabled',
      'from openai import AsyncOpenAI',
      '',
      'set_tracing_disabled(True)',
      `set_default_openai_client(AsyncOpenAI(base_url="${url}/v1", api_key=os.environ["TOKEN"]))`,
      `agent = Agent(name="Helper", model="${model}")`,
      'print(asyncio.run(Runner.run(agent, "Say hello.")).final_output)',
    ].join('\n'),
    'Anthropic for Python': [
      'import os',
      'from anthropic import Anthropic',
      '',
      `client = Anthropic(base_url="${url}", auth_token=os.environ["TOKEN"], api_key=None)`,
      'answer = client.messages.create(',
      `    model="${model}", max_tokens=100, messages=[{"role": "user", "content": "Say hello."}]`,
      ')',
      'print(answer.content[0].text)',
    ].join('\n'),
    'Claude Code': `export ANTHROPIC_BASE_URL="${url}" ANTHROPIC_AUTH_TOKEN="$TOKEN" ANTHROPIC_MODEL="${model}"\nclaude`,
    'Open WebUI': `OPENAI_API_BASE_URL=${url}/v1 OPENAI_API_KEY=$TOKEN open-webui serve`,
  };
}

export function Snippets() {
  const models = useModels();
  const { run } = useAction();
  const found = snippets(config.chatUrl, models.data?.defaultModel ?? 'MODEL');
  const names = Object.keys(found);
  const [chosen, setChosen] = useState(names[0]!);
  const copyToken = () =>
    run(async () => {
      await navigator.clipboard.writeText((await accessToken()) ?? '');
      showToast('The token is copied. It is valid for an hour at most.');
    });
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(chosen) + step + names.length) % names.length]!;
    setChosen(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div className="card">
      <div className="tabs" role="tablist" aria-label="Programs" onKeyDown={onKeyDown}>
        {names.map((name) => (
          <button key={name} id={`tab-${name}`} type="button" role="tab" aria-selected={name === chosen} aria-controls="snippet" tabIndex={name === chosen ? 0 : -1} onClick={() => setChosen(name)}>
            {name}
          </button>
        ))}
      </div>
      <div id="snippet" role="tabpanel" aria-labelledby={`tab-${chosen}`}>
        <CopyBlock text={found[chosen]!} label={`snippet for ${chosen}`} />
      </div>
      <p className="hint">
        <code>$TOKEN</code> is a key of yours, or an access token.{' '}
        <button type="button" className="link" onClick={() => void copyToken()}>
          Copy a token now
        </button>
      </p>
    </div>
  );
}
