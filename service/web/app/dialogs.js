/** The dialogs that a user opens rarely, or once the app runs: they are loaded after the start, see `later.js`. */

export { openAccountDialog } from "./account-dialog.js";
export { openArchivedDialog } from "./archived-dialog.js";
export { openConversationDetails } from "./conversation-details-dialog.js";
export { openDescriptionDialog } from "./description-dialog.js";
export { openEmojiPicker } from "./emoji-picker.js";
export { openLightbox } from "./lightbox.js";
export { openNewChatDialog } from "./new-chat-dialog.js";
export { openNotificationSettings } from "./notification-settings.js";
export { openQuickSwitcher } from "./quick-switcher.js";
export { openReadersDialog } from "./readers-dialog.js";
export { openReportDialog } from "./report-dialog.js";
export { openSearch } from "./search-dialog.js";
