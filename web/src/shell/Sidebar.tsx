import { ChartColumn, ChartLine, LayoutList, Plug, Shield, SlidersHorizontal, SquarePen, X } from 'lucide-react';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import { useIsAdmin } from '../auth/AuthProvider';
import { AccountMenu } from './AccountMenu';
import { ConversationList } from './ConversationList';
import { Mark } from './Mark';
import { preloadPage } from './pages';

/** New conversation, the list of conversations, the other pages and the account. */
export function Sidebar({ onClose }: { onClose?: () => void }) {
  const isAdmin = useIsAdmin();
  return (
    <>
      <div className="sidebar-head">
        <Link href="/" className="brand" aria-label="Parley, new conversation">
          <Mark />
          Parley
        </Link>
        {onClose ? (
          <button type="button" className="icon-button" aria-label="Close the menu" onClick={onClose}>
            <X aria-hidden />
          </button>
        ) : null}
      </div>
      <Link href="/" className="button button-new" onClick={onClose}>
        <SquarePen aria-hidden />
        New conversation
      </Link>
      <ConversationList />
      <nav className="sidebar-nav" aria-label="Pages">
        {isAdmin && <NavLink href="/admin" icon={<ChartLine aria-hidden />} label="Dashboard" />}
        {isAdmin && <NavLink href="/admin/catalogue" icon={<LayoutList aria-hidden />} label="Catalogue" />}
        {isAdmin && <NavLink href="/admin/limits" icon={<SlidersHorizontal aria-hidden />} label="Limits" />}
        <NavLink href="/usage" icon={<ChartColumn aria-hidden />} label="Usage" />
        <NavLink href="/connect" icon={<Plug aria-hidden />} label="Nodes and keys" />
        <NavLink href="/privacy" icon={<Shield aria-hidden />} label="Privacy" />
      </nav>
      <AccountMenu />
    </>
  );
}

function NavLink({ href, icon, label }: { href: string; icon: ReactNode; label: string }) {
  const [path] = useLocation();
  return (
    <Link href={href} className="nav-link" aria-current={path === href ? 'page' : undefined} onPointerEnter={() => preloadPage(href)} onFocus={() => preloadPage(href)}>
      {icon}
      {label}
    </Link>
  );
}
