"use strict";
/* One field that finds layers, tasks, registers and fields. */

const Search = (() => {
  const { make } = Dom;
  const { all } = Data;
  const MOST = 60;
  const input = document.getElementById("query");
  const results = document.getElementById("found");
  let index = null, shown = [], active = -1;

  function entries() {
    const found = all.layers.map((layer, i) => ({ text: `${Data.labels[i]} · ${layer.operation} · layer`, go: () => State.change({ layer: i, task: null, view: "graph" }) }));
    all.tasks.forEach((task, i) => found.push({ text: `task ${i} · ${task.summary}${task.origin.length ? ` · ${task.origin.join(" + ")}` : ""}`, go: () => State.change({ task: i, layer: null, view: "tasks" }) }));
    const seen = new Set();
    all.programs.forEach((program, number) => Object.values(all.declarations[program.target].registers).forEach((declaration) => {
      if (seen.has(declaration.path)) return;
      seen.add(declaration.path);
      const task = all.tasks.findIndex((each) => each.program === number && all.templates[each.template].includes(declaration.address));
      found.push({ text: `${declaration.path} · ${Text.hex(declaration.address)} · ${declaration.meaning} · ${declaration.fields.filter((f) => !f[10]).map((f) => f[0]).join(" ")} · register`, go: () => State.change({ task, layer: null, view: "tasks" }) });
    }));
    return found.map((entry) => ({ ...entry, key: entry.text.toLowerCase() }));
  }

  function look() {
    index = index || entries();
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = words.length ? index.filter((entry) => words.every((word) => entry.key.includes(word))).slice(0, MOST) : [];
    active = shown.length ? 0 : -1;
    draw(words.length > 0);
  }

  function draw(asked) {
    results.replaceChildren(...shown.map((entry, i) => make("li", {
      role: "option", id: `found-${i}`, "aria-selected": i === active ? "true" : "false", title: entry.text,
      onpointerdown: (event) => { event.preventDefault(); take(i); } }, entry.text)));
    if (asked && !shown.length) results.append(make("li", { role: "option", "aria-disabled": "true", "aria-selected": "false", class: "soft" }, "nothing found"));
    results.hidden = !asked;
    input.setAttribute("aria-expanded", String(asked));
    if (active >= 0) input.setAttribute("aria-activedescendant", `found-${active}`);
    else input.removeAttribute("aria-activedescendant");
    document.getElementById("status").textContent = asked ? `${shown.length}${shown.length === MOST ? " or more" : ""} found` : "";
    const row = results.children[active];
    if (row) row.scrollIntoView({ block: "nearest" });
  }

  function take(i) {
    if (!shown[i]) return;
    const entry = shown[i];
    close();
    entry.go();
  }
  function close() {
    shown = [];
    active = -1;
    input.value = "";
    draw(false);
  }

  input.addEventListener("input", look);
  input.addEventListener("blur", () => { results.hidden = true; input.setAttribute("aria-expanded", "false"); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (shown.length) { active = (active + (event.key === "ArrowDown" ? 1 : shown.length - 1)) % shown.length; draw(true); }
    } else if (event.key === "Enter") take(active);
    else if (event.key === "Escape") { close(); input.blur(); }
  });
  return { focus: () => { input.focus(); input.select(); } };
})();
