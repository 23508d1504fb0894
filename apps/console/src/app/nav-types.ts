import type { IconName } from "../ui/icon.tsx";

export interface NavItem {
  to: string;
  label: string;
  icon: IconName;
}
export interface NavGroup {
  title: string | null;
  items: readonly NavItem[];
}
