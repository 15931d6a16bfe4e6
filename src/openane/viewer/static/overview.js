"use strict";
/* What this is, where its time goes, and what to change first. */

(() => {
  const { make, makeSvg, add, bar, facts, grid, legend } = Dom;
  const { all } = Data;

  function timeBar(times) {
    const total = Object.values(times).reduce((a, b) => a + b, 0);
    const words = Object.entries(times).filter(([, t]) => t > 0).map(([name, t]) => `${name} ${Text.micros(t)} (${Math.round((100 * t) / total)} %)`);
    const parts = Object.entries(times).map(([name, time]) => [name, time, Colors.parts[name] || "rest"]);
    return [bar(`Time by part: ${words.join(", ")}`, parts), make("p", { class: "soft" }, words.join(" · "))];
  }

  function roofline(roof) {
    const width = 420, height = 220, left = 46, bottom = 190;
    const xs = [0.1, Math.max(1000, roof.ridge_flops_per_byte * 4, roof.flops_per_byte * 2)].map(Math.log10);
    const top = roof.peak_gflops_per_s * 2;
    const ys = [Math.max(1e-3, Math.min(roof.gflops_per_s || 1, top / 1e4) / 2), top].map(Math.log10);
    const x = (v) => left + ((Math.log10(Math.max(v, 0.1)) - xs[0]) / (xs[1] - xs[0])) * (width - left - 10);
    const y = (v) => bottom - ((Math.log10(Math.max(v, 10 ** ys[0])) - ys[0]) / (ys[1] - ys[0])) * (bottom - 10);
    const slope = roof.peak_gflops_per_s / roof.ridge_flops_per_byte;
    const end = 10 ** xs[1];
    const line = `M ${x(0.1)} ${y(0.1 * slope)} L ${x(roof.ridge_flops_per_byte)} ${y(roof.peak_gflops_per_s)} L ${x(end)} ${y(roof.peak_gflops_per_s)}`;
    return make("figure", { style: { margin: 0, maxWidth: "460px" } },
      makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Roofline: ${Text.number(roof.flops_per_byte, 3)} operations a byte, ${Text.number(roof.gflops_per_s, 3)} of ${Text.number(roof.peak_gflops_per_s, 4)} GFLOP/s` },
        makeSvg("line", { class: "axis", x1: left, y1: bottom, x2: width - 10, y2: bottom }),
        makeSvg("line", { class: "axis", x1: left, y1: 10, x2: left, y2: bottom }),
        makeSvg("path", { class: "roof", d: line }),
        makeSvg("circle", { class: "dot", cx: x(roof.flops_per_byte), cy: y(roof.gflops_per_s), r: 5 }),
        makeSvg("text", { x: left, y: bottom + 16 }, "operations a byte (log)"),
        makeSvg("text", { x: left + 6, y: 20 }, `peak ${Text.number(roof.peak_gflops_per_s)} GFLOP/s`)),
      make("figcaption", { class: "soft" }, `${Text.number(roof.flops_per_byte, 3)} operations a byte; ${Text.number(roof.gflops_per_s, 3)} GFLOP/s, dispatch included`));
  }

  function slowest() {
    const times = all.tasks.map((task, index) => [index, task.parts.reduce((a, b) => a + b, 0)]);
    times.sort((a, b) => b[1] - a[1]);
    const rows = times.slice(0, 8).map(([index, time]) => [
      make("button", { type: "button", onclick: () => State.change({ task: index, layer: null, view: "tasks" }) }, `task ${index}`),
      (all.tasks[index].origin.join(" + ") || all.tasks[index].operation), Text.micros(time), all.tasks[index].bound]);
    return grid(["task", "what", "#time", "bound by"], rows, "Longest tasks");
  }

  function build(view) {
    const found = all.estimate;
    add(view, make("div", { class: "columns" },
      make("section", {}, facts(all.facts, "Program"),
        all.problems.length > 0 && make("div", {}, make("h3", {}, "Problems"), all.problems.map((text) => make("p", { class: "wrong" }, text)))),
      found && make("section", {},
        make("h2", {}, `One call: ${Text.micros(found.time)}, ${Text.number(found.energy / 1000, 3)} mJ on ${found.machine}`),
        make("p", { class: "soft" }, `An estimate: ${found.evidence}.`),
        timeBar(found.times), legend([["neural engine", "ne"], ["planar engine", "pe"], ["transfers", "dma"], ["overhead and dispatch", "rest"]]),
        make("h3", {}, "Roofline"), roofline(found.roofline)),
      found && all.tasks.length > 0 && make("section", {}, slowest()),
      found && found.advice.length > 0 && make("section", {}, make("h3", {}, "What to change first"),
        make("ol", {}, found.advice.map((each) => make("li", {}, `${each.what}: ${each.why}; saves up to ${Text.micros(each.saves_us)}`)))),
      make("section", {}, all.programs.map((program) => grid(["index", "buffer", "#size", "#read", "#written", "address"],
        program.buffers.map((b) => [b.index, b.content, Text.bytes(b.size_bytes), Text.bytes(b.traffic[0]), Text.bytes(b.traffic[1]),
          b.address === null ? "–" : make("span", { class: "mono" }, Text.hex(b.address))]),
        all.programs.length > 1 ? `Buffers of ${program.name}` : "Buffers")))));
  }

  Views.push({ name: "overview", title: "Overview", build });
})();
