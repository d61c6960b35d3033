import { Menu as MenuIcon } from 'lucide-react';
import { type ReactNode, useEffect, useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { useMediaQuery } from '../lib/hooks';
import { Mark } from './Mark';
import { Offline } from './Offline';
import { Sidebar } from './Sidebar';

/** The frame of every page: the sidebar beside the content; on a phone the sidebar opens over it. */
export function Shell({ children }: { children: ReactNode }) {
  const isNarrow = useMediaQuery('(max-width: 860px)');
  const [isOpen, setOpen] = useState(false);
  const [path] = useLocation();
  const search = useSearch();
  useEffect(() => setOpen(false), [path, search]);
  useEffect(() => {
    const close = (event: KeyboardEvent) => event.key === 'Escape' && setOpen(false);
    addEventListener('keydown', close);
    return () => removeEventListener('keydown', close);
  }, []);
  const isHidden = isNarrow && !isOpen;
  return (
    <div className="shell">
      <a className="skip" href="#content">
        Skip to the content
      </a>
      {isNarrow && (
        <header className="topbar">
          <button type="button" className="icon-button" aria-label="Open the menu" aria-expanded={isOpen} onClick={() => setOpen(true)}>
            <MenuIcon aria-hidden />
          </button>
          <Link href="/" className="topbar-brand">
            <Mark />
            Parley
          </Link>
        </header>
      )}
      {isNarrow && isOpen && <div className="scrim" onClick={() => setOpen(false)} />}
      <aside className={isHidden ? 'sidebar sidebar-hidden' : 'sidebar'} aria-label="Conversations and pages" inert={isHidden}>
        <Sidebar onClose={isNarrow ? () => setOpen(false) : undefined} />
      </aside>
      <main id="content" tabIndex={-1} className="content" inert={isNarrow && isOpen}>
        <Offline />
        {children}
      </main>
    </div>
  );
}
