"use strict";
/* Tabs, keys, and the first drawing. */

(() => {
  const { make } = Dom;
  const { all } = Data;
  const tabs = document.getElementById("tabs");
  const view = document.getElementById("view");
  let open = null;

  document.getElementById("title").textContent = all.title;
  document.title = `${all.title} · openane`;

  let tasks = null;
  const taskView = { name: "tasks", title: "Tasks", build: (place) => { tasks = Tasks.create(); Dom.add(place, tasks.head, tasks.element); }, update: () => tasks.reveal() };
  if (all.tasks.length) Views.splice(Views.findIndex((each) => each.name === "graph") + 1, 0, taskView);

  Views.forEach((each, i) => tabs.append(make("button", {
    type: "button", role: "tab", id: `tab-${each.name}`, "aria-controls": "view", title: `${i + 1}`, onclick: () => State.open(each.name) }, each.title)));

  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = Views.findIndex((each) => each.name === open.name);
    State.open(Views[(at + step + Views.length) % Views.length].name);
    document.getElementById(`tab-${open.name}`).focus();
  });

  function update(now, source) {
    const wanted = Views.find((each) => each.name === now.view) || Views[0];
    if (wanted !== open) {
      open = wanted;
      view.replaceChildren();
      view.setAttribute("aria-labelledby", `tab-${open.name}`);
      open.build(view);
      Views.forEach((each) => {
        const tab = document.getElementById(`tab-${each.name}`);
        tab.setAttribute("aria-selected", String(each === open));
        tab.tabIndex = each === open ? 0 : -1;
      });
    }
    if (open.update) open.update(now, source);
    Inspector.update(now);
  }

  const KEYS = [
    ["/", "search", () => Search.focus()],
    ["j", "next task", () => State.chooseTask(Math.min(all.tasks.length - 1, (State.now.task ?? -1) + 1), "keys")],
    ["k", "task before", () => State.chooseTask(Math.max(0, (State.now.task ?? 1) - 1), "keys")],
    ["t", "light or dark", () => Theme.toggle()],
    ["Escape", "nothing selected", () => State.change({ task: null, layer: null })],
    ["?", "this list", () => document.getElementById("keys").showModal()],
  ];
  addEventListener("keydown", (event) => {
    const target = event.target;
    const typing = target instanceof Element && target.closest("input:not([type=checkbox]), select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const found = KEYS.find(([key]) => key === event.key);
    const number = Number(event.key);
    if (found) { event.preventDefault(); found[2](); }
    else if (Views[number - 1] && !(target.closest && target.closest(".canvas"))) State.open(Views[number - 1].name);
  });

  const dialog = document.getElementById("keys");
  dialog.append(make("h2", { id: "keys-title" }, "Keys"), make("table", {}, make("tbody", {},
    [...KEYS.map(([key, what]) => [key, what]), ["1 to 9", "views"], ["arrows, Page, Home, End", "in a list"], ["arrows, + and −", "in the timeline"]].map(([key, what]) =>
      make("tr", {}, make("th", { scope: "row" }, make("kbd", {}, key)), make("td", {}, what))))),
  make("form", { method: "dialog" }, make("button", {}, "Close")));
  document.getElementById("help").addEventListener("click", () => dialog.showModal());
  document.getElementById("theme").addEventListener("click", () => Theme.toggle());
  document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); view.focus(); });

  Theme.listen(() => { if (open && open.update) open.update(State.now); });
  Theme.apply();
  State.listen(update);
  State.read();
  update(State.now);
})();
