"use strict";
/* Everything about the selected task or layer. */

const Inspector = (() => {
  const { make, facts } = Dom;
  const { all } = Data;
  const place = document.getElementById("inspector");

  const button = (text, action) => make("li", {}, make("button", { type: "button", onclick: action, title: text }, text));
  const layerLinks = (indices) => make("ul", { class: "links" }, indices.slice(0, 24).map((i) => button(Data.labels[i], () => State.chooseLayer(i, "inspector"))));
  const taskLinks = (indices) => make("ul", { class: "links" }, indices.slice(0, 48).map((i) => button(`task ${i}`, () => State.chooseTask(i, "inspector"))));

  function time(task) {
    if (!all.estimate) return null;
    const total = task.parts.reduce((a, b) => a + b, 0);
    const rows = all.parts.map((name, i) => [name, task.parts[i]]).filter(([, t]) => t > 0);
    return [make("h3", {}, "Estimated time"),
      Dom.bar(rows.map(([name, t]) => `${name} ${Text.micros(t)}`).join(", "), rows.map(([name, t]) => [name, t, Colors.parts[name]])),
      make("p", { class: "soft" }, `${Text.micros(total)}, bound by ${task.bound}: ${rows.map(([name, t]) => `${name} ${Text.micros(t)}`).join(", ")}; ${task.macs.toLocaleString("en")} multiply-adds, ${Text.bytes(task.dram)} of DRAM traffic`)];
  }

  function showTask(index) {
    const task = all.tasks[index];
    const difference = Difference.of(index);
    const rows = [["does", task.operation], ["shapes", `${task.source_shape} → ${task.result_shape}`], ["reads", task.sources.join(", ") || "nothing"], ["writes", task.result || "nothing"]];
    if (task.kernel) rows.push(["kernel", `${Text.bytes(task.kernel_bytes)} from ${task.kernel}`]);
    rows.push(["descriptor", make("span", { class: "mono" }, `${Text.hex(task.offset)}, ${task.bytes} bytes`)]);
    if (task.evidence) rows.push(["encoding", task.evidence]);
    const layers = Data.layersOf[index].filter((i) => all.layers[i].name !== `task ${index}`);
    const picture = task.picture === undefined ? null : all.weights[task.picture];
    const table = task.table === undefined ? null : all.tables[task.table];
    place.replaceChildren(...[
      make("h2", {}, `Task ${index}`, all.programs.length > 1 ? make("span", { class: "soft" }, ` of ${all.programs[task.program].name}`) : "", " ", make("span", { class: `chip ${Colors.engines[task.engine] || "rest"}` }, task.engine)),
      facts(rows), layers.length ? make("h3", {}, "Layers") : null, layers.length ? layerLinks(layers) : null,
      task.findings.length ? make("h3", {}, "What no program of Apple's compiler shows") : null, task.findings.length ? make("ul", {}, task.findings.map((text) => make("li", {}, text))) : null,
      difference ? make("h3", {}, "Differs in B") : null, difference && difference.fields.length ? Difference.fieldTable(difference.fields) : null,
      ...(time(task) || []),
      table ? make("h3", {}, "Lookup table") : null, table ? Pictures.curve(table) : null, table ? make("p", { class: "soft" }, Pictures.tableFacts(table)) : null,
      picture ? make("h3", {}, "Weights") : null, picture ? make("div", { class: "card" }, Pictures.weights(picture)) : null, picture ? make("p", { class: "soft" }, Pictures.weightFacts(picture)) : null,
      Registers.draw(task)].filter(Boolean));
  }

  function errorsOf(index) {
    const rows = all.errors ? all.errors.layers.filter((row) => row.layers.includes(index)) : [];
    return rows.flatMap((row) => [make("h3", {}, "Against float32"),
      facts([["range", `${Text.number(row.least)} to ${Text.number(row.largest)}`], ["alone", errorText(row, "engine_isolated")], ["alone, ideal fp16", errorText(row, "ideal_isolated")],
        ["with all before", errorText(row, "engine")], ["ideal fp16", errorText(row, "ideal")], ["read from", row.source]]),
      row.causes.length ? make("ul", {}, row.causes.map((cause) => make("li", {}, cause))) : null]);
  }
  const errorText = (row, kind) => (row[`${kind}_max_ulp`] === null ? "not known" : `${Text.number(row[`${kind}_max_ulp`], 3)} ulp, ${Text.number(row[`${kind}_max_abs`], 3)}, cosine ${Text.number(row[`${kind}_cosine`], 6)}`);

  function encodings(layer) {
    const counts = new Map();
    for (const i of layer.tasks) counts.set(all.tasks[i].evidence, (counts.get(all.tasks[i].evidence) || 0) + 1);
    counts.delete("");
    return counts.size ? [["encoding", [...counts].map(([level, count]) => `${count} ${level}`).join(", ")]] : [];
  }

  function showLayer(index) {
    const layer = all.layers[index];
    place.replaceChildren(...[
      make("h2", {}, Data.labels[index]), facts([["operation", layer.operation], ["shape", layer.shape || "–"], ["runs on", layer.where || "nothing: only a view"], ...encodings(layer), ...(layer.macs ? [["multiply-adds", layer.macs.toLocaleString("en")]] : [])]),
      layer.reason ? make("p", {}, layer.reason) : null,
      layer.tasks.length ? make("h3", {}, "Tasks") : null, layer.tasks.length ? taskLinks(layer.tasks) : null,
      layer.reads.length ? make("h3", {}, "Reads") : null, layer.reads.length ? layerLinks(layer.reads) : null,
      Data.readers[index].length ? make("h3", {}, "Read by") : null, Data.readers[index].length ? layerLinks(Data.readers[index]) : null,
      ...errorsOf(index)].filter(Boolean));
  }

  function update(now) {
    const scroll = place.scrollTop;
    if (now.task !== null) showTask(now.task);
    else if (now.layer !== null) showLayer(now.layer);
    else place.replaceChildren(make("p", { class: "soft" }, "Choose a layer or a task. ", make("kbd", {}, "/"), " searches, ", make("kbd", {}, "j"), " and ", make("kbd", {}, "k"), " go from task to task."));
    place.scrollTop = now.task !== null ? scroll : 0;
  }

  return { update };
})();
