import type { User } from '@supabase/supabase-js';
import { useQueryClient } from '@tanstack/react-query';
import { createContext, type ReactNode, useContext, useEffect, useState } from 'react';
import { forgetChats } from '../lib/chat';
import { supabase } from '../lib/supabase';
import { Loading } from '../ui/parts';
import { LoginModal } from './LoginModal';

const UserContext = createContext<User | null>(null);

/** The signed-in user; only below AuthProvider. */
export function useUser(): User {
  const user = useContext(UserContext);
  if (!user) throw new Error('useUser is below AuthProvider only');
  return user;
}

/** Whether the user's token has the role of an admin. It only decides what the page shows: the database checks rights. */
export function useIsAdmin(): boolean {
  return useUser().app_metadata.role === 'admin';
}

/** Shows the page to a signed-in user, else the sign-in. supabase-js renews sessions and reports those of other tabs. */
export function AuthProvider({ children }: { children: ReactNode }) {
  const [user, setUser] = useState<User | null | undefined>();
  const queries = useQueryClient();

  useEffect(() => {
    let knownId: string | undefined;
    const { data } = supabase.auth.onAuthStateChange((_event, session) => {
      const found = session?.user ?? null;
      if (knownId && knownId !== found?.id) {
        queries.clear(); // the next user sees nothing of this one
        forgetChats();
      }
      knownId = found?.id;
      setUser((known) => (known && found && known.id === found.id && known.updated_at === found.updated_at ? known : found));
    });
    return () => data.subscription.unsubscribe();
  }, [queries]);

  if (user === undefined) return <Loading label="Opening Parley" />;
  if (user === null) return <LoginModal />;
  return (
    <UserContext.Provider value={user} key={user.id}>
      {children}
    </UserContext.Provider>
  );
}
