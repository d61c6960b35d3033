import { useTitle } from '../lib/hooks';
import { Page, Section } from '../ui/parts';
import { Apps } from './Apps';
import { Keys } from './Keys';
import { Nodes } from './Nodes';
import { Snippets } from './Snippets';

/** Own model servers, and how other programs use this deployment. */
export default function ConnectPage() {
  useTitle('Nodes and keys');
  return (
    <Page title="Nodes and keys" lead="Bring your own model server, and use Parley from other programs.">
      <Section title="Your model servers" lead="Any server with OpenAI's protocol: Ollama, llama.cpp, vLLM, LM Studio. Only you see its models, unless you share it.">
        <Nodes />
      </Section>
      <Section title="Your keys" lead="An access token lives for an hour; a key is for programs that keep one. Its questions use your budget.">
        <Keys />
      </Section>
      <Apps />
      <Section title="From other programs" lead="Every tool that takes a base address works. It uses your budget, and its turns are in your usage.">
        <Snippets />
      </Section>
    </Page>
  );
}
