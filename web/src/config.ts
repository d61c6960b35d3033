/** Addresses of a deployment. The demo account is there on a local stack only. */
export interface Config {
  supabaseUrl: string;
  supabaseAnonKey: string;
  chatUrl: string;
  llmsUrl: string;
  refreshUrl: string | null;
  demo: { email: string; password: string } | null;
}

const BUILT: Partial<Config> = {
  supabaseUrl: import.meta.env.VITE_SUPABASE_URL,
  supabaseAnonKey: import.meta.env.VITE_SUPABASE_ANON_KEY,
  chatUrl: import.meta.env.VITE_CHAT_URL,
  llmsUrl: import.meta.env.VITE_LLMS_URL,
  refreshUrl: import.meta.env.VITE_REFRESH_URL,
};

/** The values of the build, replaced by those of `/config.json`. Throws when a required value is missing. */
export async function loadConfig(): Promise<Config> {
  const values = { refreshUrl: null, demo: null, ...defined(BUILT), ...(await hosted()) };
  const missing = (['supabaseUrl', 'supabaseAnonKey', 'chatUrl', 'llmsUrl'] as const).filter((name) => !values[name]);
  if (missing.length) {
    throw new Error(`This page is not configured: ${missing.join(', ')} missing in config.json and in the build.`);
  }
  return values as Config;
}

/** The values of `/config.json`; none when the host answers with its fallback page or an error. */
async function hosted(): Promise<Partial<Config>> {
  if (BUILT.supabaseUrl) return {};
  const response = await fetch('/config.json', { credentials: 'same-origin' });
  const isJson = response.headers.get('content-type')?.includes('json');
  return response.ok && isJson ? defined((await response.json()) as Partial<Config>) : {};
}

function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value != null)) as Partial<T>;
}
