"use strict";
/* Elements without strings of HTML: every text of the document is set as text, so no name can become markup. */

const Dom = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") Object.assign(element.style, value);
      else if (name === "dataset") Object.assign(element.dataset, value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat(3)) {
      if (child === undefined || child === null || child === false || child === "") continue;
      element.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
    return element;
  }

  const make = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const makeSvg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  const add = (element, ...children) => fill(element, {}, children);

  /* One bar of parts; parts are (name, amount, color, text). */
  function bar(label, parts) {
    const total = parts.reduce((sum, part) => sum + part[1], 0) || 1;
    return make("div", { class: "bar", role: "img", "aria-label": label }, parts.map(([name, amount, color]) =>
      make("span", { title: name, style: { width: `${(100 * amount) / total}%`, background: `var(--${color})` } })));
  }

  /* A table of names and values, or of rows with a head. */
  function facts(rows, caption) {
    const lines = rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)));
    return make("table", {}, caption && make("caption", {}, caption), make("tbody", {}, lines));
  }

  function grid(columns, rows, caption) {
    const side = (index) => (columns[index].startsWith("#") ? "number" : undefined);
    const head = columns.map((name, i) => make("th", { scope: "col", class: side(i) }, name.replace("#", "")));
    const body = rows.map((row) => make("tr", {}, row.map((cell, i) => make("td", { class: side(i) }, cell))));
    return make("table", {}, caption && make("caption", {}, caption), make("thead", {}, make("tr", {}, head)), make("tbody", {}, body));
  }

  const legend = (entries) =>
    make("ul", { class: "legend" }, entries.map(([name, color]) =>
      make("li", {}, make("span", { class: "swatch", style: { background: `var(--${color})` } }), name)));

  return { make, makeSvg, add, bar, facts, grid, legend };
})();

const Text = (() => {
  const SIZES = ["B", "KiB", "MiB", "GiB"];
  function bytes(count) {
    let i = 0;
    let size = count;
    while (size >= 1024 && i < SIZES.length - 1) { size /= 1024; i += 1; }
    return `${i ? size.toPrecision(3) : size} ${SIZES[i]}`;
  }
  const number = (value, digits = 4) => (typeof value === "number" ? String(Number(value.toPrecision(digits))) : String(value ?? ""));
  const micros = (value) => `${number(value, 3)} µs`;
  const hex = (value) => `0x${(value >>> 0).toString(16)}`;
  const count = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;
  return { bytes, number, micros, hex, count };
})();
