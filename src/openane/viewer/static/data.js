"use strict";
/* The document, and the words of its tasks read by the declarations of their registers. */

const Data = (() => {
  const all = JSON.parse(document.getElementById("data").textContent);
  const raw = atob(all.words);
  const bytes = Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
  const words = new DataView(bytes.buffer);
  const wordAt = (index) => words.getUint32(4 * index, true);

  /* Which layers a task belongs to. */
  const layersOf = all.tasks.map(() => []);
  all.layers.forEach((layer, index) => layer.tasks.forEach((task) => layersOf[task] && layersOf[task].push(index)));
  const readers = all.layers.map(() => []);
  all.layers.forEach((layer, index) => layer.reads.forEach((other) => readers[other].push(index)));

  /* A name for every layer that no other layer has. */
  const taken = new Set();
  const labels = all.layers.map((layer) => {
    let label = taken.has(layer.name) ? `${layer.name} (${layer.operation})` : layer.name;
    for (let n = 2; taken.has(label); n += 1) label = `${layer.name} (${n})`;
    taken.add(label);
    return label;
  });

  /* All words of a task, as (declaration, word, where). */
  function wordsOf(task) {
    const declared = all.declarations[all.programs[task.program].target];
    const found = [];
    for (let i = 0; i < task.head; i += 1) found.push([declared.header[i], wordAt(task.words + i)]);
    for (let i = 0; i < task.extra; i += 1) found.push([declared.extra[i], wordAt(task.words + task.head + i)]);
    const first = task.words + task.head + task.extra;
    all.templates[task.template].forEach((address, i) => found.push([declared.registers[address], wordAt(first + i)]));
    return found.filter(([declaration]) => declaration);
  }

  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  }

  const scratch = new DataView(new ArrayBuffer(4));
  function single(bits) {
    scratch.setUint32(0, bits);
    return scratch.getFloat32(0);
  }

  /* A declared field, and its value in a word. */
  function fieldsOf(declaration, word) {
    return declaration.fields.map(([name, lsb, width, meaning, kind, values, unit, normal, evidence, source, reserved]) => {
      let bits = (word >>> lsb) % 2 ** width;
      if (kind === "signed" && bits >= 2 ** (width - 1)) bits -= 2 ** width;
      const value = bits * unit;
      let text;
      if (values[value] !== undefined) text = values[value];
      else if (kind === "fp16") text = String(half(bits));
      else if (kind === "fp32") text = String(single(bits));
      else if ((unit > 1 || reserved || width >= 24) && value > 9) text = Text.hex(value);
      else text = String(value);
      return { name, lsb, width, meaning, evidence, source, reserved: Boolean(reserved), value, text, changed: value !== normal };
    });
  }

  return { all, labels, layersOf, readers, wordsOf, fieldsOf };
})();
