import type { FileUIPart } from 'ai';
import { ArrowUp, Paperclip, Square } from 'lucide-react';
import { type ClipboardEvent, type DragEvent, type FormEvent, type KeyboardEvent, lazy, Suspense, useEffect, useRef, useState } from 'react';
import { errorText } from '../lib/errors';
import { showToast } from '../lib/toasts';
import { Budget } from './Budget';
import { EstimateLine } from './EstimateLine';
import { ModelMenu, type Choice } from './ModelMenu';

const FileParts = lazy(() => import('./FileParts'));
const MAX_BYTES = 900_000; // a request of chat holds 1 MiB
const drafts = new Map<string, string>();

function isOver(text: string): boolean {
  return text.length > MAX_BYTES || (text.length > MAX_BYTES / 4 && new Blob([text]).size > MAX_BYTES);
}

interface Props {
  chatId: string;
  isNew: boolean;
  isRunning: boolean;
  choice: Choice;
  onAsk: (text: string, files: FileUIPart[]) => void;
  onStop: () => void;
  /** In a group: writes to the members only. */
  onWrite?: (text: string) => void;
}

/** The input with the choice of the model, the money, and send or stop. Typing is possible while an answer runs. */
export function Composer({ chatId, isNew, isRunning, choice, onAsk, onStop, onWrite }: Props) {
  const [text, setText] = useState(() => drafts.get(chatId) ?? '');
  const [files, setFiles] = useState<FileUIPart[]>([]);
  const [isRefused, setRefused] = useState(false);
  const [asksModel, setAsksModel] = useState(true);
  const input = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const isTooLong = isOver(text);
  const toMembers = onWrite && !asksModel;
  const canSend = (text.trim() !== '' || (files.length > 0 && !toMembers)) && !isTooLong && (!isRunning || Boolean(toMembers));

  useEffect(() => {
    drafts.set(chatId, text);
  }, [chatId, text]);
  useEffect(() => {
    if (matchMedia('(pointer: fine)').matches) input.current?.focus();
  }, [chatId]);

  const send = () => {
    if (!canSend) return;
    setText('');
    drafts.delete(chatId);
    if (toMembers) onWrite(text);
    else {
      onAsk(text, files);
      setFiles([]);
    }
  };
  const add = async (added: File[]) => {
    try {
      const { readFiles } = await import('../lib/files');
      const read = await readFiles(added);
      setFiles((before) => [...before, ...read]);
    } catch (failure) {
      showToast(errorText(failure), { isError: true });
    }
  };
  const onDrop = (event: DragEvent) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    void add([...event.dataTransfer.files]);
  };
  // The browser takes seconds to lay out more than can be sent.
  const onPaste = (event: ClipboardEvent) => {
    if (event.clipboardData.files.length) {
      event.preventDefault();
      void add([...event.clipboardData.files]);
      return;
    }
    const isRefused = isOver(event.clipboardData.getData('text/plain'));
    if (isRefused) event.preventDefault();
    setRefused(isRefused);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isRunning && !toMembers) onStop();
    else send();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form className="composer" onSubmit={submit}>
      <EstimateLine text={text} id={isNew ? undefined : chatId} choice={choice} isHidden={Boolean(toMembers) || isTooLong} />
      {(isTooLong || isRefused) && (
        <p className="composer-note composer-warning" role="alert">
          {isRefused ? 'The pasted text' : 'This'} is too long for one question: {MAX_BYTES.toLocaleString('en-US')} bytes fit.
        </p>
      )}
      <div className="composer-box" onDrop={onDrop} onDragOver={(event) => event.preventDefault()}>
        {files.length > 0 && (
          <Suspense>
            <FileParts files={files} onRemove={(removed) => setFiles(files.filter((_, index) => index !== removed))} />
          </Suspense>
        )}
        <textarea
          ref={input}
          aria-label="Your question"
          placeholder={toMembers ? 'Write to the members' : 'Ask anything'}
          rows={1}
          dir="auto"
          spellCheck={text.length < 20_000}
          value={text}
          className={text.length > 20_000 ? 'long' : undefined}
          onChange={(event) => {
            setText(event.target.value);
            setRefused(false);
          }}
          onPaste={onPaste}
          onKeyDown={onKeyDown}
        />
        <div className="composer-row">
          <ModelMenu choice={choice} />
          {!toMembers && (
            <button type="button" className="icon-button" aria-label="Add files" title="Add pictures, PDFs or text files" onClick={() => picker.current?.click()}>
              <Paperclip aria-hidden />
            </button>
          )}
          <input
            ref={picker}
            type="file"
            multiple
            hidden
            tabIndex={-1}
            aria-label="Files of the question"
            onChange={(event) => {
              void add([...(event.target.files ?? [])]);
              event.target.value = '';
            }}
          />
          {onWrite && (
            <label className="switch">
              <input type="checkbox" role="switch" checked={asksModel} onChange={(event) => setAsksModel(event.target.checked)} />
              <span>Ask the model</span>
            </label>
          )}
          <Budget />
          {isRunning && !toMembers ? (
            <button type="submit" className="send" aria-label="Stop the answer" title="Stop">
              <Square aria-hidden />
            </button>
          ) : (
            <button type="submit" className="send" aria-label="Send" title="Send (Enter)" disabled={!canSend}>
              <ArrowUp aria-hidden />
            </button>
          )}
        </div>
      </div>
    </form>
  );
}
