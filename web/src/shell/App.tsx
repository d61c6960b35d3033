import { lazy, Suspense } from 'react';
import { Redirect, Route, Switch } from 'wouter';
import { useIsAdmin } from '../auth/AuthProvider';
import { ChatPage } from '../chat/ChatPage';
import { Empty, Loading } from '../ui/parts';
import { Shell } from './Shell';

const InvitePage = lazy(() => import('../chat/InvitePage'));
const SharedPage = lazy(() => import('../chat/SharedPage'));
const UsagePage = lazy(() => import('../usage/UsagePage'));
const DashboardPage = lazy(() => import('../admin/DashboardPage'));
const CataloguePage = lazy(() => import('../admin/CataloguePage'));
const LimitsPage = lazy(() => import('../admin/LimitsPage'));
const ConnectPage = lazy(() => import('../settings/ConnectPage'));
const ConsentPage = lazy(() => import('../settings/ConsentPage'));
const PrivacyPage = lazy(() => import('../settings/PrivacyPage'));

/** The pages by their addresses. */
export function App() {
  const isAdmin = useIsAdmin();
  return (
    <Shell>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/">{() => <ChatPage />}</Route>
          <Route path="/c/:id">{({ id }) => <ChatPage id={id} />}</Route>
          <Route path="/invite" component={InvitePage} />
          <Route path="/shared" component={SharedPage} />
          <Route path="/usage" component={UsagePage} />
          <Route path="/connect" component={ConnectPage} />
          <Route path="/oauth/consent" component={ConsentPage} />
          <Route path="/privacy" component={PrivacyPage} />
          {isAdmin && <Route path="/admin" component={DashboardPage} />}
          {isAdmin && <Route path="/admin/catalogue" component={CataloguePage} />}
          {isAdmin && <Route path="/admin/limits" component={LimitsPage} />}
          <Route path="/auth/callback">{() => <Redirect to="/" replace />}</Route>
          <Route>
            <Empty title="There is nothing at this address">Choose a conversation, or begin a new one.</Empty>
          </Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}
