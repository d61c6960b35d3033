import { type FormEvent, useState } from 'react';
import { Dialog } from '../ui/Dialog';
import { Field } from '../ui/parts';
import type { CatalogueModel } from './CataloguePage';

/** The price of a model in US dollars for a million tokens; empty fields make it unknown. */
export function PriceForm(props: { model: CatalogueModel; onSave: (pricing: object | null) => Promise<boolean>; onClose: () => void }) {
  const { pricing, model_name: name } = props.model;
  const [input, setInput] = useState(pricing ? String(pricing.input) : '');
  const [output, setOutput] = useState(pricing ? String(pricing.output) : '');
  async function submit(event: FormEvent) {
    event.preventDefault();
    const isKnown = input !== '' && output !== '';
    if (await props.onSave(isKnown ? { ...pricing, input: Number(input), output: Number(output) } : null)) props.onClose();
  }
  return (
    <Dialog title={`Price of ${name}`} onClose={props.onClose}>
      <form className="stack" onSubmit={submit}>
        <p className="lead">US dollars for a million tokens. Turns of a model without a price are counted as unpriced.</p>
        <div className="fields">
          <Field label="Question (input)">{(id) => <input id={id} type="number" min={0} step="any" value={input} onChange={(event) => setInput(event.target.value)} />}</Field>
          <Field label="Answer (output)">{(id) => <input id={id} type="number" min={0} step="any" value={output} onChange={(event) => setOutput(event.target.value)} />}</Field>
        </div>
        <footer className="dialog-foot">
          <button type="button" className="button" onClick={props.onClose}>
            Cancel
          </button>
          <button type="submit" className="button button-primary">
            Save
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
