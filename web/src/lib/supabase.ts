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

/** Leaves the page for an app that asked for access. Throws for an address that would run a script here. */
export function goToApp(address: string): void {
  if (/^(javascript|data|blob):/i.test(new URL(address).protocol)) throw new Error('The app gave an address that is not allowed.');
  window.location.assign(address);
}

/** The rows or value of a query. Throws its error. */
export async function rows<T>(query: PromiseLike<{ data: unknown; error: { message: string } | null }>): Promise<T> {
  const { data, error } = await query;
  if (error) throw error;
  return data as T;
}
