/** A line chart of the last minutes, with a legend that shows each line's latest value. */

const SVG = "http://www.w3.org/2000/svg";
const MAX_POINTS = 150;
const WIDTH = 300;
const HEIGHT = 100;
/** More lines could not be distinguished. Series that are not zero come first; the last line sums up the others. */
const MAX_LINES = 6;

function createElement(name, text = "") {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

/** Format a value with three significant digits: "12.3k". */
function formatValue(value) {
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)}M`;
  if (value >= 1e4) return `${(value / 1e3).toPrecision(3)}k`;
  return String(Number(value.toPrecision(3)));
}

export class Chart {
  element = createElement("figure");
  #unit;
  #maximum = createElement("span");
  #svg = document.createElementNS(SVG, "svg");
  #legend = createElement("ul");
  #lines = new Map();

  constructor(title, unit) {
    this.#unit = unit;
    this.#maximum.className = "maximum";
    const caption = createElement("figcaption", title);
    caption.append(this.#maximum);
    this.#svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("role", "img");
    this.#svg.setAttribute("aria-label", title);
    this.element.append(caption, this.#svg, this.#legend);
  }

  /** Add one point to each line. `values`: by series name; a series that is missing counts as zero. */
  push(values) {
    const points = new Map();
    const tooMany = values.size >= MAX_LINES;
    for (const [name, value] of values) {
      if (tooMany && !value && !this.#lines.has(name)) continue;
      const line = this.#lines.has(name) || this.#lines.size + points.size < MAX_LINES - 1 ? name : "others";
      if (!this.#lines.has(line)) this.#lines.set(line, this.#createLine(line));
      points.set(line, (points.get(line) ?? 0) + value);
    }
    for (const [name, line] of this.#lines) {
      line.values.push(points.get(name) ?? 0);
      if (line.values.length > MAX_POINTS) line.values.shift();
      line.label.textContent = `${name} ${formatValue(line.values.at(-1))}`;
    }
    this.#draw();
  }

  #createLine(name) {
    const index = this.#lines.size;
    const shape = document.createElementNS(SVG, "polyline");
    const label = createElement("li");
    shape.setAttribute("class", `series-${index}`);
    shape.setAttribute("data-name", name);
    label.className = `series-${index}`;
    this.#svg.append(shape);
    this.#legend.append(label);
    const length = Math.max(0, ...[...this.#lines.values()].map(({ values }) => values.length - 1));
    return { shape, label, values: new Array(length).fill(0) };
  }

  #draw() {
    const lines = [...this.#lines.values()];
    const maximum = Math.max(...lines.flatMap(({ values }) => values), 0);
    this.#maximum.textContent = `max. ${formatValue(maximum)} ${this.#unit}`;
    for (const { shape, values } of lines) {
      const first = MAX_POINTS - values.length;
      const toPoint = (value, index) => [
        (((first + index) * WIDTH) / (MAX_POINTS - 1)).toFixed(1),
        (HEIGHT - (maximum ? (value / maximum) * (HEIGHT - 4) : 0) - 2).toFixed(1),
      ];
      shape.setAttribute("points", values.map((value, index) => toPoint(value, index).join(",")).join(" "));
    }
  }
}
