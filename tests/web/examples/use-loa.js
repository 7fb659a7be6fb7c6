/** The React hook of the README. A component that uses it renders again only if the selected part changes. */

import { useSyncExternalStore } from "react";

/** `useLoa(loa, (state) => state.notifications.unreadCount)` */
export function useLoa(loa, pick = (state) => state) {
  return useSyncExternalStore(loa.store.subscribe, () => pick(loa.store.getSnapshot()));
}
