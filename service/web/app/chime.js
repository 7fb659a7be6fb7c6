/** A short sound of two tones, without a file. */

const TONES = [
  { frequency: 660, start: 0 },
  { frequency: 880, start: 0.12 },
];
/** Seconds that a tone takes to fade out. */
const LENGTH = 0.25;
const VOLUME = 0.12;

let context = null;

/** Play the sound. Before the first press of the user on the page, browsers keep silent. */
export function playChime() {
  if (!globalThis.AudioContext) return;
  context ??= new AudioContext();
  context.resume().catch(() => {});
  for (const { frequency, start } of TONES) {
    const at = context.currentTime + start;
    const oscillator = new OscillatorNode(context, { frequency });
    const gain = new GainNode(context, { gain: VOLUME });
    gain.gain.setValueAtTime(VOLUME, at);
    gain.gain.exponentialRampToValueAtTime(0.001, at + LENGTH);
    oscillator.connect(gain).connect(context.destination);
    oscillator.start(at);
    oscillator.stop(at + LENGTH);
  }
}
