"use strict";
/* The errors of a comparison, layer by layer. */

(() => {
  const { make, legend } = Dom;
  const { all } = Data;
  if (all.tables.length) Views.push({ name: "tables", title: "Tables", build: Pictures.buildTables });
  if (all.weights.length) Views.push({ name: "weights", title: "Weights", build: Pictures.buildWeights });
  if (!all.errors) return;

  const rows = all.errors.layers;
  const WIDTH = 220, FLOOR = -7;
  const share = (value) => (typeof value === "number" && value > 0 ? Math.max(0, Math.min(1, (Math.log10(value) - FLOOR) / -FLOOR)) : value ? 1 : 0);
  const bar = (value, color) => make("span", { style: { display: "block", height: "6px", margin: "2px 0", borderRadius: "3px", width: `${Math.max(1, WIDTH * share(value))}px`, background: `var(--${color})` } });

  function render(index) {
    const row = rows[index];
    const ulp = (kind) => (row[`${kind}_max_ulp`] === null ? "–" : row[`${kind}_not_finite`] ? "inf" : Text.number(row[`${kind}_max_ulp`], 3));
    return [
      make("span", { class: `grow ${row.wrong ? "wrong" : ""}` }, row.wrong ? `${row.layer} (wrong)` : row.layer),
      make("span", { class: "cell", style: { width: `${WIDTH}px` }, title: "error over the layer's largest value, logarithmic from 1e-7 to 1" },
        bar(row.engine_isolated_relative, "ne"), bar(row.engine_relative, "pe")),
      ...["engine_isolated", "ideal_isolated", "engine", "ideal"].map((kind) => make("span", { class: "cell right", style: { width: "66px" } }, ulp(kind))),
      make("span", { class: "cell right", style: { width: "84px" } }, Text.number(row.engine_cosine, 6))];
  }

  const owner = new Map();
  rows.forEach((row, index) => row.layers.forEach((layer) => owner.set(layer, index)));
  const chosen = () => {
    const layer = State.now.layer ?? (State.now.task === null ? null : Data.layersOf[State.now.task][0] ?? null);
    return layer === null ? null : owner.get(layer) ?? null;
  };

  let list = null;
  function build(view) {
    list = List.create({ label: "Errors by layer", count: rows.length, height: 34, render, chosen,
      choose: (index) => { if (rows[index].layers.length) State.chooseLayer(rows[index].layers[0], "errors"); } });
    const first = all.errors.first_wrong;
    Dom.add(view, 
      make("p", {}, first === null ? `Every layer is within ${Text.number(100 * all.errors.tolerance, 3)} % of its largest value.` : make("span", { class: "wrong" }, `The first layer that goes wrong is ${first}.`)),
      all.errors.notes.map((note) => make("p", { class: "soft" }, note)),
      make("div", { class: "tools" }, legend([["layer alone", "ne"], ["with everything before it", "pe"]])),
      make("div", { class: "head", "aria-hidden": "true" }, make("span", { class: "grow" }, "layer"), make("span", { style: { width: `${WIDTH}px` } }, "share of the largest value"),
        ["alone, ulp", "ideal", "all, ulp", "ideal"].map((name) => make("span", { class: "right", style: { width: "66px" } }, name)), make("span", { class: "right", style: { width: "84px" } }, "cosine")),
      list.element);
  }

  Views.push({ name: "errors", title: "Errors", build, update: () => list.reveal() });
})();
