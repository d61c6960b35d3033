export type Theme = 'system' | 'light' | 'dark';
const KEY = 'parley.theme';

export function storedTheme(): Theme {
  const found = localStorage.getItem(KEY);
  return found === 'light' || found === 'dark' ? found : 'system';
}

/** Sets the theme of the page, by default the stored one; `system` follows the device. */
export function applyTheme(theme: Theme = storedTheme()): void {
  localStorage.setItem(KEY, theme);
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
