/** Icons. They are decorative: there is always a label next to them, or on the button. */

const SVG = "http://www.w3.org/2000/svg";

/** Paths on a 24 × 24 grid; the CSS class `.icon` sets stroke and fill. */
const PATHS = {
  chats:
    "M20 11.5c0 4.1-3.6 7.5-8 7.5-1 0-2-.2-2.9-.5L4.5 20l1.3-3.7A7.2 7.2 0 0 1 4 11.5C4 7.4 7.6 4 12 4s8 3.4 8 7.5Z",
  posts:
    "M6.5 4.5h11a2.5 2.5 0 0 1 2.5 2.5v10a2.5 2.5 0 0 1 -2.5 2.5h-11a2.5 2.5 0 0 1 -2.5 -2.5v-10a2.5 2.5 0 0 1 2.5 -2.5ZM8 9h8M8 12.5h8M8 16h4.5",
  bell: "M6.5 10.5a5.5 5.5 0 0 1 11 0c0 4 1.5 5.5 2 6.5h-15c.5-1 2-2.5 2-6.5ZM10 20a2.2 2.2 0 0 0 4 0",
  muted: "M6.5 10.5a5.5 5.5 0 0 1 11 0c0 4 1.5 5.5 2 6.5h-15c.5-1 2-2.5 2-6.5ZM10 20a2.2 2.2 0 0 0 4 0M4 4l16 16",
  attach: "M18.5 11.5 12 18a4.2 4.2 0 0 1 -6 -6l6.8-6.8a2.8 2.8 0 0 1 4 4L10 16a1.4 1.4 0 0 1 -2 -2l6-6",
  camera: "M4.5 8h3l1.5-2.5h6L16.5 8h3v10.5h-15ZM9 13a3 3 0 1 0 6 0a3 3 0 1 0 -6 0Z",
  flag: "M6 20.5V4.7c4.2-1.8 7.8 1.8 12 0v9.1c-4.2 1.8-7.8-1.8-12 0",
  file: "M7 4h7l4 4v12H7ZM14 4v4h4",
  add: "M12 5.5v13M5.5 12h13",
  archive: "M4.5 5.5h15v4h-15ZM6 9.5v9h12v-9M10 13h4",
  block: "M4 12a8 8 0 1 0 16 0a8 8 0 1 0 -16 0ZM6.4 6.4l11.2 11.2",
  smile: "M4 12a8 8 0 1 0 16 0a8 8 0 1 0 -16 0ZM8.5 14c.8 1.3 2 2 3.5 2s2.7-.7 3.5-2M9.2 9.8h.01M14.8 9.8h.01",
  people:
    "M6 9a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0ZM3.5 18.5c.6-3 2.9-4.7 5.7-4.7s5.1 1.7 5.7 4.7M15.5 6.2a3 3 0 0 1 0 5.6M17.3 14.3c1.7.6 2.9 2 3.3 4.2",
  search: "M5 11a6 6 0 1 0 12 0a6 6 0 1 0 -12 0ZM15.5 15.5l4.5 4.5",
  go: "M4.5 12h14.5m-5.5-6 6 6-6 6",
  compose:
    "M12.5 5H6.5A2.5 2.5 0 0 0 4 7.5v10A2.5 2.5 0 0 0 6.5 20h10a2.5 2.5 0 0 0 2.5-2.5v-6M17.6 4.4a1.4 1.4 0 0 1 2 2L12 14l-3 .9.9-3Z",
  send: "M5 12 4 5l16.5 7L4 19l1-7Zm0 0h7",
  back: "m14.5 5.5-6.5 6.5 6.5 6.5",
  close: "m6.5 6.5 11 11m0-11-11 11",
  more: "M5.4 12a.6.6 0 1 0 1.2 0 .6.6 0 1 0-1.2 0ZM11.4 12a.6.6 0 1 0 1.2 0 .6.6 0 1 0-1.2 0ZM17.4 12a.6.6 0 1 0 1.2 0 .6.6 0 1 0-1.2 0Z",
  info: "M4 12a8 8 0 1 0 16 0a8 8 0 1 0 -16 0ZM12 11.2v4.6M12 8.2h.01",
  reply: "M9.5 6 4.5 11l5 5M4.5 11h9a6 6 0 0 1 6 6v1.5",
  edit: "m15.6 5.4 3 3L8.5 18.5l-4 1 1-4Z",
  delete: "M5 7h14M10 7V5h4v2M7 7l.8 12h8.4L17 7M10.5 10.5v5M13.5 10.5v5",
  copy: "M10.5 8.5h7a2 2 0 0 1 2 2v7a2 2 0 0 1 -2 2h-7a2 2 0 0 1 -2 -2v-7a2 2 0 0 1 2 -2ZM15.5 8.5v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2",
  clock: "M4.5 12a7.5 7.5 0 1 0 15 0a7.5 7.5 0 1 0 -15 0ZM12 8v4.2l2.7 1.6",
  check: "m5.5 12.5 4.2 4.2 8.8-9",
  checks: "m2.5 12.5 4.2 4.2 8.3-9M11.5 15l1.7 1.7 8.3-9",
  alert: "M4 12a8 8 0 1 0 16 0a8 8 0 1 0 -16 0ZM12 8v4.8M12 16h.01",
  down: "M12 5v14m-5.5-5.5L12 19l5.5-5.5",
  comment: "M5 5.5h14v10.5h-7.5L7.5 19.5V16H5Z",
  device:
    "M5.5 5.5h13a1.5 1.5 0 0 1 1.5 1.5v7.5a1.5 1.5 0 0 1 -1.5 1.5h-13a1.5 1.5 0 0 1 -1.5 -1.5v-7.5a1.5 1.5 0 0 1 1.5 -1.5ZM9 19.5h6M12 16v3.5",
  leave: "M13.5 5h-7A1.5 1.5 0 0 0 5 6.5v11A1.5 1.5 0 0 0 6.5 19h7M10 12h10m-3.5-3.5L20 12l-3.5 3.5",
  settings:
    "M4.5 7h8m4 0h3M4.5 17h3m4 0h8M12.5 7a2 2 0 1 0 4 0a2 2 0 1 0 -4 0ZM7.5 17a2 2 0 1 0 4 0a2 2 0 1 0 -4 0Z",
  megaphone:
    "M4.5 10v4c0 .6.4 1 1 1H8l6 3.8c.5.3 1 0 1-.6V5.8c0-.6-.5-.9-1-.6L8 9H5.5c-.6 0-1 .4-1 1ZM18.5 9.5a3.8 3.8 0 0 1 0 5",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
