import { type ComponentType, lazy, useState } from 'react';

/**
 * A component whose module loads late, or before it is shown. React shows a component that it had to wait for 300 ms
 * late at least; one that is there already is shown at once.
 */
export function preloadable<Props extends object>(load: () => Promise<{ default: ComponentType<Props> }>) {
  let known: ComponentType<Props> | undefined;
  const Lazy = lazy(load) as unknown as ComponentType<Props>;
  function Part(props: Props) {
    const [Shown] = useState<ComponentType<Props>>(() => known ?? Lazy);
    return <Shown {...props} />;
  }
  /** Loads the module. A failure shows when the component is shown. */
  const preload = () =>
    void load().then(
      (found) => (known = found.default),
      () => undefined,
    );
  return { Part, preload };
}
