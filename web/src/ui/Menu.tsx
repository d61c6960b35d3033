import { DropdownMenu } from 'radix-ui';
import type { ReactNode } from 'react';

export interface MenuEntry {
  label: string;
  icon?: ReactNode;
  isDanger?: boolean;
  onSelect: () => void;
}

/** A menu of actions. Not modal, because Radix's scroll lock would need inline styles, which the policy forbids. */
export function Menu(props: { label: string; trigger: ReactNode; entries: (MenuEntry | null)[]; className?: string }) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger className={props.className ?? 'icon-button'} aria-label={props.label} title={props.label}>
        {props.trigger}
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="menu" align="end" sideOffset={4} collisionPadding={8}>
          {props.entries.map((entry, index) =>
            entry ? (
              <DropdownMenu.Item key={entry.label} className={entry.isDanger ? 'menu-item menu-danger' : 'menu-item'} onSelect={entry.onSelect}>
                {entry.icon}
                {entry.label}
              </DropdownMenu.Item>
            ) : (
              <DropdownMenu.Separator key={index} className="menu-line" />
            ),
          )}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
