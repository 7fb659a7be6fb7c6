/** A chart: a few lines over the last minutes, and beside each name its latest value. */

const SVG = "http://www.w3.org/2000/svg";
const POINTS = 150;
const WIDTH = 300;
const HEIGHT = 100;
/** Lines that can be told apart. Where there is more to show, what moves comes first, and the rest is the last one. */
const LINES = 6;

function el(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

/** Three digits are enough. */
function short(value) {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)}M`;
  if (value >= 1e4) return `${(value / 1e3).toPrecision(3)}k`;
  return String(Number(value.toPrecision(3)));
}

export class Chart {
  element = el("figure");
  #unit;
  #top = el("span");
  #svg = document.createElementNS(SVG, "svg");
  #legend = el("ul");
  #lines = new Map();

  constructor(title, unit) {
    this.#unit = unit;
    this.#top.className = "top";
    const caption = el("figcaption", title);
    caption.append(this.#top);
    this.#svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("role", "img");
    this.#svg.setAttribute("aria-label", title);
    this.element.append(caption, this.#svg, this.#legend);
  }

  /** The values of this moment, by name; a line that has none any more is at zero. */
  push(values) {
    const wanted = new Map();
    const many = values.size >= LINES;
    for (const [name, value] of values) {
      if (many && !value && !this.#lines.has(name)) continue;
      const line = this.#lines.has(name) || this.#lines.size + wanted.size < LINES - 1 ? name : "others";
      if (!this.#lines.has(line)) this.#lines.set(line, this.#line(line));
      wanted.set(line, (wanted.get(line) ?? 0) + value);
    }
    for (const [name, line] of this.#lines) {
      line.values.push(wanted.get(name) ?? 0);
      if (line.values.length > POINTS) line.values.shift();
      line.label.textContent = `${name} ${short(line.values.at(-1))}`;
    }
    this.#draw();
  }

  #line(name) {
    const number = this.#lines.size;
    const shape = document.createElementNS(SVG, "polyline");
    const label = el("li");
    shape.setAttribute("class", `series-${number}`);
    shape.setAttribute("data-name", name);
    label.className = `series-${number}`;
    this.#svg.append(shape);
    this.#legend.append(label);
    const length = Math.max(0, ...[...this.#lines.values()].map(({ values }) => values.length - 1));
    return { shape, label, values: new Array(length).fill(0) };
  }

  #draw() {
    const lines = [...this.#lines.values()];
    const top = Math.max(...lines.flatMap(({ values }) => values), 0);
    this.#top.textContent = `up to ${short(top)} ${this.#unit}`;
    for (const { shape, values } of lines) {
      const first = POINTS - values.length;
      const at = (value, place) => [
        (((first + place) * WIDTH) / (POINTS - 1)).toFixed(1),
        (HEIGHT - (top ? (value / top) * (HEIGHT - 4) : 0) - 2).toFixed(1),
      ];
      shape.setAttribute("points", values.map((value, place) => at(value, place).join(",")).join(" "));
    }
  }
}
