/** Limits rendering to once per animation frame. */

/** Milliseconds. A hidden page gets no animation frames, but must be up to date when it is shown again. */
const HIDDEN_DELAY = 200;

/** Return a function that schedules `render` for the next frame; further calls before that frame have no effect. */
export function throttleToFrame(render) {
  let frame = 0;
  let timer;
  const run = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = 0;
    render();
  };
  return () => {
    if (frame) return;
    frame = requestAnimationFrame(run);
    timer = setTimeout(run, HIDDEN_DELAY);
  };
}
