import { useSyncExternalStore } from 'react';

export interface Toast {
  id: number;
  text: string;
  isError: boolean;
  action?: { label: string; run: () => void };
}

let toasts: Toast[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function change(changed: Toast[]): void {
  toasts = changed;
  for (const listener of listeners) listener();
}

/** Shows a line of text for some seconds, with one action at most. Returns a function that removes it. */
export function showToast(text: string, options: { isError?: boolean; action?: Toast['action']; seconds?: number } = {}): () => void {
  const toast = { id: nextId++, text, isError: options.isError ?? false, action: options.action };
  const remove = () => change(toasts.filter((each) => each.id !== toast.id));
  change([...toasts.slice(-2), toast]);
  setTimeout(remove, (options.seconds ?? 5) * 1000);
  return remove;
}

export function useToasts(): Toast[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
}
