import { preloadable } from '../ui/preloadable';

/** The pages that load late, by their addresses. */
export const PAGES = {
  '/invite': preloadable(() => import('../chat/InvitePage')),
  '/shared': preloadable(() => import('../chat/SharedPage')),
  '/usage': preloadable(() => import('../usage/UsagePage')),
  '/connect': preloadable(() => import('../settings/ConnectPage')),
  '/oauth/consent': preloadable(() => import('../settings/ConsentPage')),
  '/privacy': preloadable(() => import('../settings/PrivacyPage')),
  '/admin': preloadable(() => import('../admin/DashboardPage')),
  '/admin/catalogue': preloadable(() => import('../admin/CataloguePage')),
  '/admin/limits': preloadable(() => import('../admin/LimitsPage')),
};

/** Loads the page of an address, so that it shows at once; nothing for the address of a conversation. */
export function preloadPage(path: string): void {
  if (path in PAGES) PAGES[path as keyof typeof PAGES].preload();
}
