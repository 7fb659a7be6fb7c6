/** Drawing once for everything that has changed since. */

const HIDDEN_PAUSE = 200;
/** Milliseconds; a page that nobody sees gets no frames, but it has to be right when somebody looks. */

/** A function that calls `draw` with the next frame, however often it was called before. */
export function oncePerFrame(draw) {
  let frame = 0;
  let timer;
  const run = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = 0;
    draw();
  };
  return () => {
    if (frame) return;
    frame = requestAnimationFrame(run);
    timer = setTimeout(run, HIDDEN_PAUSE);
  };
}
