/** Where the page may connect when the build names no addresses: any https host. */
export const FALLBACK_SOURCES = ['https:', 'wss:'];

/** The Content-Security-Policy of the page; `sources` are the origins of Supabase and of the functions. */
export function policy(sources: string[]): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "font-src 'self'",
    `connect-src 'self' ${sources.join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
