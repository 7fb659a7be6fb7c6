/** The hook for React. Whatever it picks out of the state is rendered anew when, and only when, it changes. */

import { useSyncExternalStore } from "react";

/** `useLoa(loa, (state) => state.notifications.unreadCount)` */
export function useLoa(loa, pick = (state) => state) {
  return useSyncExternalStore(loa.store.subscribe, () => pick(loa.store.getSnapshot()));
}
