import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useState, useSyncExternalStore } from 'react';
import { useSearchParams } from 'wouter';
import { errorText } from './errors';
import { readAgain } from './readAgain';
import { showToast } from './toasts';

export function useMediaQuery(query: string): boolean {
  const subscribe = useCallback(
    (listener: () => void) => {
      const found = matchMedia(query);
      found.addEventListener('change', listener);
      return () => found.removeEventListener('change', listener);
    },
    [query],
  );
  return useSyncExternalStore(subscribe, () => matchMedia(query).matches);
}

/** A value that changes once the original has been still for some milliseconds. */
export function useStill<T>(value: T, milliseconds: number): T {
  const [still, setStill] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setStill(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return still;
}

/** A value that this browser keeps under a name. */
export function useKept<T>(name: string, initial: T): [T, (value: T) => void] {
  const key = `parley.${name}`;
  const [value, setValue] = useState<T>(() => {
    const kept = localStorage.getItem(key);
    return kept === null ? initial : (JSON.parse(kept) as T);
  });
  const keep = (changed: T) => {
    localStorage.setItem(key, JSON.stringify(changed));
    setValue(changed);
  };
  return [value, keep];
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title === 'Parley' ? title : `${title} · Parley`;
  }, [title]);
}

/** Query parameters of the address as state: links, reload and Back keep them. */
export function useParameter(name: string, initial: string): [string, (value: string) => void] {
  const [parameters, setParameters] = useSearchParams();
  const set = (value: string) =>
    setParameters((known) => {
      const changed = new URLSearchParams(known);
      if (value === initial) changed.delete(name);
      else changed.set(name, value);
      return changed;
    });
  return [parameters.get(name) ?? initial, set];
}

/** Runs an action, shows its failure or its success, and reads the named queries again. */
export function useAction() {
  const queries = useQueryClient();
  const [isBusy, setBusy] = useState(false);
  const run = async (act: () => PromiseLike<unknown>, options: { done?: string; reads?: string[] } = {}): Promise<boolean> => {
    setBusy(true);
    try {
      await act();
      await readAgain(queries, options.reads ?? []);
      if (options.done) showToast(options.done);
      return true;
    } catch (error) {
      showToast(errorText(error), { isError: true });
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { run, isBusy };
}
