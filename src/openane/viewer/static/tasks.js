"use strict";
/* Every task in a line; the registers of the chosen one stand next to it. */

const Tasks = (() => {
  const { make } = Dom;
  const { all } = Data;
  const timed = Boolean(all.estimate);
  const COLUMNS = [["task", 46], ["engine", 44], ["time", 74]];

  function render(index) {
    const task = all.tasks[index];
    const time = timed ? Text.micros(task.parts.reduce((a, b) => a + b, 0)) : "";
    const cells = [[index, "right"], [task.engine, Colors.engines[task.engine] || ""], [time, "right soft"]];
    return [...cells.map(([text, kind], i) => make("span", { class: `cell ${kind}`, style: { width: `${COLUMNS[i][1]}px` } }, text)),
      make("span", { class: "cell", style: { width: "190px" } }, task.operation),
      make("span", { class: "grow soft" }, task.origin.join(" + ") || task.summary)];
  }

  /* A list of all tasks under its head, to be put into a view. */
  function create() {
    const list = List.create({
      label: "Tasks in execution order", count: all.tasks.length, height: 26, render,
      chosen: () => State.now.task, choose: (index) => State.chooseTask(index, "tasks"),
    });
    const head = make("div", { class: "head", "aria-hidden": "true" },
      COLUMNS.map(([name, width]) => make("span", { style: { width: `${width}px` }, class: name === "engine" ? "" : "right" }, name)),
      make("span", { style: { width: "190px" } }, "operation"), make("span", { class: "grow" }, "layers"));
    return { head, element: list.element, reveal: list.reveal };
  }

  return { create };
})();
