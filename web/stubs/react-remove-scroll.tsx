import type { ReactNode } from 'react';

/** In place of react-remove-scroll: no menu here is modal, and its inline style is against the policy of the page. */
export function RemoveScroll({ children }: { children?: ReactNode }) {
  return children;
}
