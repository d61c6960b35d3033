import { Suspense } from 'react';
import { Redirect, Route, Switch } from 'wouter';
import { useIsAdmin } from '../auth/AuthProvider';
import { ChatPage } from '../chat/ChatPage';
import { Empty, Loading } from '../ui/parts';
import { PAGES } from './pages';
import { Shell } from './Shell';

/** The pages by their addresses. */
export function App() {
  const isAdmin = useIsAdmin();
  return (
    <Shell>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/">{() => <ChatPage />}</Route>
          <Route path="/c/:id">{({ id }) => <ChatPage id={id} />}</Route>
          {Object.entries(PAGES)
            .filter(([path]) => isAdmin || !path.startsWith('/admin'))
            .map(([path, { Part }]) => (
              <Route key={path} path={path}>
                {() => <Part />}
              </Route>
            ))}
          <Route path="/auth/callback">{() => <Redirect to="/" replace />}</Route>
          <Route>
            <Empty title="There is nothing at this address">Choose a conversation, or begin a new one.</Empty>
          </Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}
