"use strict";
/* What differs between two programs. */

const Difference = (() => {
  const { make, grid } = Dom;
  const found = Data.all.difference;
  if (!found) return { of: () => null };
  const byTask = new Map(found.tasks.filter((each) => each.first !== null).map((each) => [each.first, each]));
  let chosen = 0, list = null, detail = null;

  const kind = (each) => (each.second === null ? "only in A" : each.first === null ? "only in B" : "changed");

  const fieldTable = (fields) => grid(["field", "A", "B", "meaning"], fields.map((field) =>
    [field.path, make("span", { class: "mono" }, field.first ?? "absent"), make("span", { class: "mono" }, field.second ?? "absent"), make("span", { class: "soft" }, field.meaning)]));

  function render(index) {
    const each = found.tasks[index];
    return [make("span", { class: "cell", style: { width: "76px" } }, kind(each)),
      make("span", { class: "cell right", style: { width: "52px" } }, each.first ?? "–"), make("span", { class: "cell right", style: { width: "52px" } }, each.second ?? "–"),
      make("span", { class: "cell right soft", style: { width: "64px" } }, each.fields.length ? Text.count(each.fields.length, "field") : ""),
      make("span", { class: "grow" }, each.first_summary || each.second_summary)];
  }

  function choose(index, source) {
    chosen = index;
    const each = found.tasks[index];
    list.reveal();
    detail.replaceChildren(...show(each));
    if (each.first !== null && source !== "state") State.chooseTask(each.first, "difference");
  }

  const show = (each) => [make("h2", {}, `${kind(each)}: task ${each.first ?? "–"} in A, ${each.second ?? "–"} in B`),
    make("p", { class: "soft" }, each.first_summary), each.second_summary !== each.first_summary ? make("p", { class: "soft" }, each.second_summary) : "",
    each.fields.length ? fieldTable(each.fields) : ""].filter(Boolean);

  function strip() {
    const size = Math.max(...found.constant_sizes, 1);
    const marks = found.constants.map((range) => Dom.makeSvg("rect", { x: (600 * range.start) / size, width: Math.max(1, (600 * (range.end - range.start)) / size), y: 0, height: 14, fill: "var(--wrong)" }));
    return Dom.makeSvg("svg", { viewBox: "0 0 600 14", role: "img", style: "width:100%;height:14px;background:var(--faint)", preserveAspectRatio: "none", "aria-label": `${Text.count(found.constants.length, "range")} of the constants differ` }, marks);
  }

  function build(view) {
    const [a, b] = found.names;
    const bytes = found.constants.reduce((sum, range) => sum + range.count, 0);
    list = List.create({ label: "Tasks that differ", count: found.tasks.length, height: 26, render, chosen: () => (found.tasks.length ? chosen : null), choose });
    detail = make("div", { style: { flex: 1, overflow: "auto", marginTop: "12px" }, tabindex: 0, role: "region", "aria-label": "The chosen difference" });
    Dom.add(view, 
      make("h2", {}, found.same ? "No difference" : `A is ${a}, B is ${b}`),
      make("p", {}, `${Text.count(found.equal_tasks, "task")} equal, ${found.tasks.length} different; constants ${Text.bytes(found.constant_sizes[0])} and ${Text.bytes(found.constant_sizes[1])}, ${bytes} bytes differ.`),
      found.constants.length ? strip() : "",
      [["Program", found.program], ["Surfaces", found.surfaces]].filter(([, fields]) => fields.length).map(([title, fields]) => make("details", {}, make("summary", {}, `${title}: ${Text.count(fields.length, "difference")}`), fieldTable(fields))),
      found.container.length ? make("details", {}, make("summary", {}, `Container: ${Text.count(found.container.length, "line")}`), make("pre", { class: "mono", tabindex: 0, style: { overflow: "auto", maxHeight: "40vh" } }, found.container.join("\n"))) : "",
      found.tasks.length ? [make("div", { class: "head", "aria-hidden": "true", style: { marginTop: "12px" } }, make("span", { style: { width: "76px" } }, ""), make("span", { class: "right", style: { width: "52px" } }, "A"), make("span", { class: "right", style: { width: "52px" } }, "B"), make("span", { style: { width: "64px" } }), make("span", { class: "grow" }, "what the task does")), list.element, detail].map((each) => each) : "");
    if (found.tasks.length) choose(0, "state");
  }

  Views.unshift({ name: "difference", title: "Difference", build, update: (now, source) => {
    if (source === "difference" || now.task === null || !byTask.has(now.task)) return;
    choose(found.tasks.indexOf(byTask.get(now.task)), "state");
  } });
  return { of: (task) => byTask.get(task) || null, fieldTable };
})();
