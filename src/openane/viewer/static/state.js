"use strict";
/* What is selected and which view is open; both live in the address, so that a link leads to the same place. */

const State = (() => {
  const listeners = [];
  const now = { view: "", task: null, layer: null };

  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    const task = Number.parseInt(found.get("task"), 10);
    const named = found.get("layer");
    now.task = Data.all.tasks[task] ? task : null;
    const layer = named === null ? -1 : Data.labels.indexOf(named);
    now.layer = layer >= 0 ? layer : null;
    const view = found.get("view");
    if (view !== null) now.view = view;
    else if (now.task !== null) now.view = "tasks";
    else if (now.layer !== null) now.view = "graph";
  }

  function write() {
    const parts = new URLSearchParams();
    parts.set("view", now.view);
    if (now.task !== null) parts.set("task", now.task);
    else if (now.layer !== null) parts.set("layer", Data.labels[now.layer]);
    history.replaceState(null, "", `#${parts}`);
  }

  function change(changes, source) {
    Object.assign(now, changes);
    write();
    listeners.forEach((listener) => listener(now, source));
  }

  const chooseTask = (task, source) => Data.all.tasks[task] && change({ task, layer: null }, source);
  const chooseLayer = (layer, source) => Data.all.layers[layer] && change({ layer, task: null }, source);
  const open = (view) => change({ view });
  const listen = (listener) => listeners.push(listener);

  addEventListener("hashchange", () => { read(); listeners.forEach((listener) => listener(now)); });
  return { now, read, write, change, chooseTask, chooseLayer, open, listen };
})();

const Theme = (() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const listeners = [];
  const current = () => chosen || (dark.matches ? "dark" : "light");
  function apply() {
    root.dataset.theme = current();
    const button = document.getElementById("theme");
    button.textContent = current() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${current() === "dark" ? "light" : "dark"} colors`);
    listeners.forEach((listener) => listener());
  }
  function toggle() {
    chosen = current() === "dark" ? "light" : "dark";
    apply();
  }
  dark.addEventListener("change", apply);
  const color = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  return { apply, toggle, color, listen: (listener) => listeners.push(listener) };
})();

/* The views in the order of their tabs: { name, title, build(container), update(state, source), leave() }. */
const Views = [];

/* Colors of engines and of the parts of a task's time. */
const Colors = {
  engines: { NE: "ne", PE: "pe", "NE + PE": "ne", host: "host", folded: "rest" },
  parts: { NE: "ne", PE: "pe", weights: "dma", DRAM: "dma", "hand-over": "dma", overhead: "rest", dispatch: "rest" },
};
