import { useQuery } from '@tanstack/react-query';
import { KeyRound, Radar, Trash2 } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { useUser } from '../auth/AuthProvider';
import { probeNode } from '../lib/api';
import { fromNow } from '../lib/format';
import { useAction } from '../lib/hooks';
import { rows, supabase } from '../lib/supabase';
import { plainLine } from '../lib/text';
import { Confirm, Dialog } from '../ui/Dialog';
import { CopyButton, Failure, Field, Loading, Switch } from '../ui/parts';

interface Node {
  id: number;
  name: string;
  base_url: string;
  is_active: boolean;
  is_shared: boolean;
  may_use_tools: boolean;
  has_key: boolean;
  last_seen_at: string | null;
  models: { id: string; name?: string }[] | null;
}

const COLUMNS = 'id,name,base_url,is_active,is_shared,may_use_tools,has_key,last_seen_at,models';

/** The user's own nodes, and a form for another one. */
export function Nodes() {
  const user = useUser();
  const found = useQuery({ queryKey: ['nodes'], queryFn: () => rows<Node[]>(supabase.from('client_nodes').select(COLUMNS).eq('owner_id', user.id).order('id')) });
  if (found.isPending) return <Loading />;
  if (found.isError) return <Failure error={found.error} onRetry={() => void found.refetch()} />;
  return (
    <div className="cards">
      {found.data.map((node) => (
        <NodeCard key={node.id} node={node} />
      ))}
      <NewNode />
    </div>
  );
}

function NodeCard({ node }: { node: Node }) {
  const { run, isBusy } = useAction();
  const [isAsking, setAsking] = useState<'key' | 'delete' | null>(null);
  const models = node.models ?? [];
  const change = (changes: object) => run(() => rows(supabase.from('client_nodes').update(changes).eq('id', node.id)), { reads: ['nodes'] });
  const remove = async () => {
    if (await run(() => rows(supabase.from('client_nodes').delete().eq('id', node.id)), { done: 'The node is deleted.', reads: ['nodes'] })) setAsking(null);
  };
  return (
    <section className="card" aria-label={plainLine(node.name, 'Node')}>
      <div className="card-head">
        <h3>{plainLine(node.name, 'Node')}</h3>
        <button type="button" className="button button-small" disabled={isBusy} onClick={() => void run(() => probeNode(node.id), { done: 'The node answered.', reads: ['nodes'] })}>
          <Radar aria-hidden /> Probe
        </button>
        <button type="button" className="button button-small" onClick={() => setAsking('key')}>
          <KeyRound aria-hidden /> {node.has_key ? 'Change its key' : 'Leave a key'}
        </button>
        <button type="button" className="icon-button" aria-label={`Delete ${node.name}`} onClick={() => setAsking('delete')}>
          <Trash2 aria-hidden />
        </button>
      </div>
      <p className="hint mono">{node.base_url}</p>
      <div className="row">
        <Switch label="Use it" isOn={node.is_active} isDisabled={isBusy} onChange={(isOn) => void change({ is_active: isOn })} />
        <Switch label="Share it" isOn={node.is_shared} isDisabled={isBusy} onChange={(isOn) => void change({ is_shared: isOn })} />
        <Switch label="Its models may use tools" isOn={node.may_use_tools} isDisabled={isBusy} onChange={(isOn) => void change({ may_use_tools: isOn })} />
      </div>
      {models.length > 0 ? (
        <ul className="node-models">
          {models.slice(0, 50).map((model) => (
            <li key={model.id}>
              <span className="mono">{`client:${node.id}:${model.id}`}</span>
              <CopyButton text={`client:${node.id}:${model.id}`} label={`Copy the name of ${model.id}`} />
            </li>
          ))}
        </ul>
      ) : (
        <p className="hint">Probe the node to read its models.</p>
      )}
      {node.last_seen_at && <p className="hint">It answered {fromNow(node.last_seen_at)}.</p>}
      {isAsking === 'key' && <NodeKey node={node} onClose={() => setAsking(null)} />}
      {isAsking === 'delete' && (
        <Confirm title={`Delete ${plainLine(node.name, 'the node')}`} text="Its models can no longer be chosen. Answers that it gave stay." action="Delete" isBusy={isBusy} onConfirm={() => void remove()} onClose={() => setAsking(null)} />
      )}
    </section>
  );
}

function NodeKey({ node, onClose }: { node: Node; onClose: () => void }) {
  const { run, isBusy } = useAction();
  const [key, setKey] = useState('');
  async function submit(event: FormEvent) {
    event.preventDefault();
    const done = key ? 'The key is stored. It can be used, but not read again.' : 'The key is removed.';
    if (await run(() => rows(supabase.rpc('set_node_key', { node_id: node.id, api_key: key || null })), { done, reads: ['nodes'] })) onClose();
  }
  return (
    <Dialog title={`Key of ${plainLine(node.name, 'the node')}`} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <Field label="Key" hint="Leave it empty to remove the stored key.">
          {(id, hint) => <input id={id} aria-describedby={hint} type="password" autoComplete="off" maxLength={500} value={key} onChange={(event) => setKey(event.target.value)} />}
        </Field>
        <footer className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button button-primary" disabled={isBusy}>
            Save
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

function NewNode() {
  const { run, isBusy } = useAction();
  const [name, setName] = useState('');
  const [url, setUrl] = useState('');
  async function submit(event: FormEvent) {
    event.preventDefault();
    const add = async () => {
      const [node] = await rows<{ id: number }[]>(supabase.from('client_nodes').insert({ name: name.trim(), base_url: url.trim() }).select('id'));
      setName('');
      setUrl('');
      await probeNode(node!.id);
    };
    await run(add, { done: 'The node is added, and its models are read.', reads: ['nodes'] });
  }
  return (
    <form className="card" onSubmit={submit}>
      <h3>Add a model server</h3>
      <div className="fields">
        <Field label="Name">{(id) => <input id={id} required maxLength={80} value={name} placeholder="Mac Studio" onChange={(event) => setName(event.target.value)} />}</Field>
        <Field label="Base address">
          {(id) => <input id={id} type="url" required maxLength={500} value={url} placeholder="https://llm.example.com/v1" onChange={(event) => setUrl(event.target.value)} />}
        </Field>
      </div>
      <div className="row row-end">
        <button type="submit" className="button" disabled={isBusy}>
          Add and probe
        </button>
      </div>
    </form>
  );
}
