import { ChevronsUpDown, LogOut, Moon, Sun, SunMoon } from 'lucide-react';
import { useState } from 'react';
import { useUser } from '../auth/AuthProvider';
import { supabase } from '../lib/supabase';
import { applyTheme, storedTheme, type Theme } from '../lib/theme';
import { Menu } from '../ui/Menu';

const THEMES = [
  { theme: 'light', label: 'Light', icon: <Sun aria-hidden /> },
  { theme: 'dark', label: 'Dark', icon: <Moon aria-hidden /> },
  { theme: 'system', label: 'As the device', icon: <SunMoon aria-hidden /> },
] as const;

/** Who is signed in; the theme and the sign-out. */
export function AccountMenu() {
  const user = useUser();
  const [theme, setTheme] = useState<Theme>(storedTheme);
  const name = user.email || 'Guest';
  const choose = (chosen: Theme) => {
    applyTheme(chosen);
    setTheme(chosen);
  };
  return (
    <Menu
      label={`Account: ${name}`}
      className="account"
      trigger={
        <>
          <span className="avatar" aria-hidden>
            {name.charAt(0).toUpperCase()}
          </span>
          <span className="account-name">{name}</span>
          <ChevronsUpDown aria-hidden />
        </>
      }
      entries={[
        ...THEMES.map((each) => ({
          label: each.theme === theme ? `${each.label} (now)` : each.label,
          icon: each.icon,
          onSelect: () => choose(each.theme),
        })),
        null,
        { label: 'Sign out', icon: <LogOut aria-hidden />, onSelect: () => void supabase.auth.signOut({ scope: 'local' }) },
      ]}
    />
  );
}
