/** The pictures of `icons.svg`. They say nothing that a label beside them does not. */

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/app/icons.svg#${name}`);
  svg.append(use);
  return svg;
}
