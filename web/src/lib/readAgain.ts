import type { QueryClient } from '@tanstack/react-query';

/**
 * Reads the named queries again after a change. A first read that is under way began before the change, so it is begun again;
 * `invalidateQueries` alone would keep its answer.
 */
export async function readAgain(queries: QueryClient, names: readonly string[]): Promise<void> {
  await Promise.all(
    names.map(async (name) => {
      await queries.cancelQueries({ queryKey: [name] });
      await queries.invalidateQueries({ queryKey: [name] });
    }),
  );
}
