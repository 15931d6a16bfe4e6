"use strict";
/* The layers from top to bottom; every edge has a lane on the left; the tasks that compute a layer stand on its right. */

(() => {
  const { make, makeSvg, legend } = Dom;
  const { all } = Data;
  const HEIGHT = 30, STEP = 12, MOST_LANES = 14, MOST_CHIPS = 6;

  /* A lane is taken from the row of a layer to the row of its last reader. */
  function lanes() {
    const until = [];
    const lane = all.layers.map((layer, row) => {
      const last = Math.max(row, ...Data.readers[row]);
      let free = until.findIndex((end) => end <= row);
      if (free < 0) free = until.length;
      until[free] = last;
      return free;
    });
    const passing = all.layers.map(() => []);
    all.layers.forEach((layer, row) => {
      const last = Math.max(row, ...Data.readers[row]);
      for (let i = row + 1; i <= last; i += 1) passing[i].push(row);
    });
    return { lane, passing, width: STEP * (Math.min(MOST_LANES, until.length) + 1) };
  }

  const layout = lanes();
  const x = (lane) => STEP / 2 + STEP * Math.min(lane, MOST_LANES);
  const color = (layer) => `var(--${Colors.engines[layer.where] || "rest"})`;

  function picture(row) {
    const middle = HEIGHT / 2;
    const own = x(layout.lane[row]);
    const pieces = layout.passing[row].map((other) => {
      const at = x(layout.lane[other]);
      const last = Math.max(other, ...Data.readers[other]);
      const joins = all.layers[row].reads.includes(other);
      const goesOn = last > row;
      return [
        goesOn && makeSvg("line", { x1: at, y1: 0, x2: at, y2: HEIGHT, stroke: color(all.layers[other]), "stroke-opacity": 0.55 }),
        joins && makeSvg("path", { d: `M ${at} 0 C ${at} ${middle}, ${own} 0, ${own} ${middle}`, fill: "none", stroke: color(all.layers[other]) }),
      ];
    });
    const leaves = Data.readers[row].length > 0 && makeSvg("line", { x1: own, y1: middle, x2: own, y2: HEIGHT, stroke: color(all.layers[row]) });
    return makeSvg("svg", { class: "lanes", width: layout.width, height: HEIGHT, "aria-hidden": "true" }, pieces, leaves,
      makeSvg("circle", { cx: own, cy: middle, r: 4.5, fill: color(all.layers[row]) }));
  }

  function render(row) {
    const layer = all.layers[row];
    const chips = layer.tasks.slice(0, MOST_CHIPS).map((task) =>
      make("span", { class: `chip ${Colors.engines[all.tasks[task].engine] || "rest"}`, dataset: { task }, title: all.tasks[task].summary }, task));
    return [picture(row),
      make("span", { class: "grow" }, Data.labels[row]),
      make("span", { class: "cell soft wide", style: { width: "130px" } }, layer.operation),
      make("span", { class: "cell soft mono wide", style: { width: "130px" } }, layer.shape),
      make("span", { class: "cell", style: { width: "64px" } }, layer.where || "view"),
      make("span", { class: "cell", style: { width: "170px" } }, chips, layer.tasks.length > MOST_CHIPS && ` +${layer.tasks.length - MOST_CHIPS}`)];
  }

  /* The layer of the selection: itself, or the first one of the selected task. */
  const chosen = () => State.now.layer ?? (State.now.task === null ? null : Data.layersOf[State.now.task][0] ?? null);
  const near = (row) => {
    const at = chosen();
    return at !== null && (all.layers[at].reads.includes(row) || Data.readers[at].includes(row)) ? "near" : "";
  };

  let list = null;
  function build(view) {
    list = List.create({
      label: "Layers in execution order", count: all.layers.length, height: HEIGHT, render, chosen, decorate: near,
      choose: (row, event) => {
        const chip = event.target instanceof Element ? event.target.closest("[data-task]") : null;
        if (chip) State.chooseTask(Number(chip.dataset.task), "graph");
        else State.chooseLayer(row, "graph");
      },
    });
    Dom.add(view, 
      make("div", { class: "tools" }, make("span", {}, `${Text.count(all.layers.length, "layer")}, ${Text.count(all.tasks.length, "task")}`),
        legend([["neural engine", "ne"], ["planar engine", "pe"], ["host", "host"], ["folded or a view", "rest"]])),
      make("div", { class: "head", "aria-hidden": "true" }, make("span", { style: { width: `${layout.width}px` } }), make("span", { class: "grow" }, "layer"),
        ...[["operation", 130], ["shape", 130], ["where", 64], ["tasks", 170]].map(([name, width]) => make("span", { class: width === 130 ? "wide" : undefined, style: { width: `${width}px` } }, name))),
      list.element);
  }

  Views.push({ name: "graph", title: "Graph", build, update: () => list.reveal() });
})();
