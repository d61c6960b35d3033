import '@fontsource-variable/inter/wght.css';
import '@fontsource-variable/jetbrains-mono/wght.css';
import './styles/tokens.css';
import './styles/base.css';
import './styles/ui.css';
import './styles/shell.css';
import './styles/chat.css';
import './styles/answer.css';
import './styles/pages.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { AuthProvider } from './auth/AuthProvider';
import { loadConfig } from './config';
import { connect } from './lib/supabase';
import { applyTheme } from './lib/theme';
import { App } from './shell/App';
import { preloadPage } from './shell/pages';
import { StartFailure } from './shell/StartFailure';
import { Toasts } from './ui/Toasts';

applyTheme();
preloadPage(window.location.pathname);
const root = createRoot(document.getElementById('root')!);
const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 15_000, retry: 1 } } });

try {
  connect(await loadConfig());
  root.render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <AuthProvider>
          <App />
        </AuthProvider>
        <Toasts />
      </QueryClientProvider>
    </StrictMode>,
  );
} catch (error) {
  root.render(<StartFailure error={error} />);
}
