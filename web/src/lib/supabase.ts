import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import type { Config } from '../config';

export let config: Config;
export let supabase: SupabaseClient;

/** Makes the one client of the page. Links in mails come back with a code (PKCE), never with a token in the address. */
export function connect(values: Config): void {
  config = values;
  supabase = createClient(values.supabaseUrl, values.supabaseAnonKey, { auth: { flowType: 'pkce' } });
}

/** The access token, renewed when it is about to expire; null when signed out. */
export async function accessToken(): Promise<string | null> {
  const { data } = await supabase.auth.getSession();
  return data.session?.access_token ?? null;
}

/** The rows or value of a query. Throws its error. */
export async function rows<T>(query: PromiseLike<{ data: unknown; error: { message: string } | null }>): Promise<T> {
  const { data, error } = await query;
  if (error) throw error;
  return data as T;
}
