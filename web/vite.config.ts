import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { type Plugin, defineConfig, loadEnv } from 'vite';
import { FALLBACK_SOURCES, policy } from './policy.ts';

const stub = (name: string) => fileURLToPath(new URL(`stubs/${name}`, import.meta.url));

/** Writes `_headers`, which Netlify and Cloudflare Pages read; other hosts copy the two lines from it. */
function headersFile(sources: string[]): Plugin {
  const lines = ['/*', `  Content-Security-Policy: ${policy(sources)}`, '  X-Content-Type-Options: nosniff'];
  lines.push('  Referrer-Policy: no-referrer', '/assets/*', '  Cache-Control: public, max-age=31536000, immutable', '');
  return {
    name: 'parley-headers',
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: '_headers', source: lines.join('\n') });
      this.emitFile({ type: 'asset', fileName: '_redirects', source: '/* /index.html 200\n' });
    },
  };
}

export default defineConfig(({ mode }) => {
  const names = ['VITE_SUPABASE_URL', 'VITE_CHAT_URL', 'VITE_LLMS_URL', 'VITE_REFRESH_URL'];
  const env = loadEnv(mode, '.', 'VITE_');
  const sources = names.flatMap((name) => (env[name] ? [new URL(env[name]).origin] : []));
  if (env.VITE_SUPABASE_URL) sources.push(new URL(env.VITE_SUPABASE_URL).origin.replace(/^http/, 'ws')); // Realtime
  return {
    plugins: [react(), headersFile(sources.length ? sources : FALLBACK_SOURCES)],
    resolve: { alias: { 'react-remove-scroll': stub('react-remove-scroll.tsx'), 'zod/v3': stub('zod-v3.ts') } },
    build: {
      target: 'es2024',
      cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
      reportCompressedSize: false,
      chunkSizeWarningLimit: 1500,
      assetsInlineLimit: 0, // `data:` addresses are not allowed by the policy
      manifest: true,
    },
    server: { port: 5173, strictPort: true, proxy: { '/config.json': process.env.PAGE_URL ?? 'http://127.0.0.1:8080' } },
  };
});
