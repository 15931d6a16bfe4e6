"use strict";
/* Lookup tables as curves, weights as pictures. */

const Pictures = (() => {
  const { make, makeSvg } = Dom;
  const { all } = Data;
  const numeric = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

  function curve(table) {
    const width = 320, height = 180, pad = 26;
    const points = table.curve.map(([x, y]) => [numeric(x), numeric(y)]).filter(([x, y]) => x !== null && y !== null);
    if (!points.length) return make("p", { class: "soft" }, "no finite value to draw");
    const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
    const sorted = [...ys].sort((a, b) => a - b);
    const inner = [sorted[Math.floor(sorted.length * 0.03)], sorted[Math.floor(sorted.length * 0.97)]];
    const reach = (inner[1] - inner[0]) * 1.5 || 1;
    const low = Math.max(sorted[0], inner[0] - reach), high = Math.min(sorted[sorted.length - 1], inner[1] + reach);
    const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
    const x = (v) => pad + ((v - x0) / (x1 - x0 || 1)) * (width - 2 * pad);
    const y = (v) => height - pad - ((Math.min(high, Math.max(low, v)) - low) / (high - low || 1)) * (height - 2 * pad);
    const leaps = (i) => i === 0 || (points[i][1] >= high && points[i - 1][1] <= low) || (points[i][1] <= low && points[i - 1][1] >= high);
    const path = points.map(([a, b], i) => `${leaps(i) ? "M" : "L"} ${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join(" ");
    const knots = table.direct && table.domain.length ? table.knots.map((value, i) => [table.domain[0] + i * table.step, value]).filter(([a, b]) => a >= x0 && a <= x1 && numeric(b) !== null) : [];
    const zeroX = x0 < 0 && x1 > 0 && makeSvg("line", { class: "axis", x1: x(0), x2: x(0), y1: pad / 2, y2: height - pad });
    const zeroY = low < 0 && high > 0 && makeSvg("line", { class: "axis", x1: pad, x2: width - pad, y1: y(0), y2: y(0) });
    return makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Curve of a ${table.mode} table from ${Text.number(x0, 3)} to ${Text.number(x1, 3)}, values ${Text.number(low, 3)} to ${Text.number(high, 3)}` },
      makeSvg("rect", { x: pad, y: pad / 2, width: width - 2 * pad, height: height - 1.5 * pad, fill: "none", class: "axis" }), zeroX, zeroY,
      makeSvg("path", { class: "curve", d: path }), knots.map(([a, b]) => makeSvg("circle", { class: "knot", cx: x(a), cy: y(b), r: 1.8 })),
      makeSvg("text", { x: pad, y: height - 8 }, Text.number(x0, 3)), makeSvg("text", { x: width - pad, y: height - 8, "text-anchor": "end" }, Text.number(x1, 3)),
      makeSvg("text", { x: pad + 4, y: pad / 2 + 12 }, Text.number(high, 3)), makeSvg("text", { x: pad + 4, y: height - pad - 4 }, Text.number(low, 3)));
  }

  function tableFacts(table) {
    const [low, below, high, above] = table.limits.map((value) => Text.number(value, 5));
    const parts = [`mode ${table.mode}`, `sign rule ${table.sign}`, `at or below ${low}: ${below}`, `at or above ${high}: ${above}`];
    if (table.knots.length) parts.push(`${table.knots.length} knots, ${Text.number(table.step, 5)} apart, on ${table.domain.map((v) => Text.number(v, 5)).join(" to ")}`);
    return parts.join("; ");
  }

  function weights(picture) {
    const scale = Math.max(1, Math.floor(300 / Math.max(picture.width, picture.height)));
    const canvas = make("canvas", { width: picture.width, height: picture.height, role: "img",
      "aria-label": `Weights of task ${picture.task}, ${picture.outputs} output channels, largest magnitude ${Text.number(picture.peak)}`,
      style: { width: `${picture.width * scale}px` } });
    const paint = () => {
      const raw = atob(picture.pixels);
      const context = canvas.getContext("2d");
      const image = context.createImageData(picture.width, picture.height);
      const [more, less, none] = ["positive", "negative", "panel"].map((name) => channels(Theme.color(name)));
      for (let i = 0; i < raw.length; i += 1) {
        const value = ((raw.charCodeAt(i) << 24) >> 24) / 127;
        const ink = value < 0 ? less : more;
        const share = Math.sqrt(Math.abs(value));
        for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = none[c] + (ink[c] - none[c]) * share;
        image.data[4 * i + 3] = 255;
      }
      context.putImageData(image, 0, 0);
    };
    paint();
    Theme.listen(paint);
    return canvas;
  }

  const channels = (color) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));

  function histogram(picture) {
    const top = Math.max(...picture.histogram), width = 300, height = 60;
    const step = width / picture.histogram.length;
    return makeSvg("svg", { viewBox: `0 0 ${width} ${height + 14}`, role: "img", "aria-label": `Histogram of the weights from ${Text.number(-picture.peak, 3)} to ${Text.number(picture.peak, 3)}` },
      picture.histogram.map((n, i) => makeSvg("rect", { class: "bin", x: i * step, width: step - 1, y: height * (1 - n / top), height: (height * n) / top })),
      makeSvg("text", { x: 0, y: height + 12 }, Text.number(-picture.peak, 3)), makeSvg("text", { x: width, y: height + 12, "text-anchor": "end" }, Text.number(picture.peak, 3)));
  }

  const taskButton = (task) => make("li", {}, make("button", { type: "button", onclick: () => State.chooseTask(task, "pictures") }, `task ${task}`));

  function buildTables(view) {
    Dom.add(view, make("p", { class: "soft" }, "As the engine computes them, points between knots included. Dots are knots."),
      make("div", { class: "cards" }, all.tables.map((table, i) => make("section", { class: "card", "aria-label": `Table ${i}` },
        make("h2", {}, `Table ${i}`), curve(table), make("p", { class: "soft" }, tableFacts(table)),
        make("ul", { class: "links" }, table.tasks.slice(0, 12).map(taskButton), table.tasks.length > 12 && make("li", { class: "soft" }, `and ${table.tasks.length - 12} more`))))));
  }

  const MOST_CARDS = 60;
  function buildWeights(view) {
    const shown = all.weights.slice(0, MOST_CARDS);
    Dom.add(view, make("p", { class: "soft" }, `Orange is positive, blue is negative; color grows with the root of the magnitude. ${all.weights.length > MOST_CARDS ? `The first ${MOST_CARDS} of ${all.weights.length}; the others stand next to their tasks.` : ""}`),
      make("div", { class: "cards" }, shown.map((picture) => make("section", { class: "card", "aria-label": `Weights of task ${picture.task}` },
        make("h2", {}, all.tasks[picture.task].origin.join(" + ") || `task ${picture.task}`), weights(picture), histogram(picture),
        make("p", { class: "soft" }, weightFacts(picture)), make("ul", { class: "links" }, taskButton(picture.task))))));
  }

  const weightFacts = (p) => `${p.outputs} × ${p.inputs} × ${p.window.join(" × ")}; largest ${Text.number(p.peak)}; ${Math.round(100 * p.zeros)} % zeros` +
    (p.tile.length ? `; filters of the first ${Math.round(p.height / p.tile[0])} outputs and ${Math.round(p.width / p.tile[1])} inputs` : "");

  return { curve, tableFacts, weights, histogram, weightFacts, buildTables, buildWeights };
})();
