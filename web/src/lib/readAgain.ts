import type { QueryClient } from '@tanstack/react-query';

/**
 * Reads the named queries again after a change. A first read that is under way began before the change, so it is begun again:
 * `invalidateQueries` does so for later reads only.
 */
export async function readAgain(queries: QueryClient, names: readonly string[]): Promise<void> {
  await Promise.all(
    names.map(async (name) => {
      await queries.cancelQueries({ queryKey: [name], predicate: ({ state }) => state.data === undefined });
      await queries.invalidateQueries({ queryKey: [name] });
    }),
  );
}
