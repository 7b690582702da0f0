// DET curves: draws those that are chosen; the choice is in the address. The table is the data.
"use strict";
(() => {
  const most = 8;
  const places = document.getElementById("plot").dataset.places.split(" ");
  const lines = document.getElementById("lines");
  const legend = document.getElementById("legend");
  const rows = [...document.getElementById("curves").tBodies[0].rows];
  const byKey = new Map(rows.map((row) => [row.dataset.key, row]));
  const first = document.getElementById("curves").dataset.first.split(" ");
  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  let chosen = [];

  const read = () => {
    const view = new URLSearchParams(location.hash.slice(1));
    const asked = view.has("entries") ? view.get("entries").split(" ") : first;
    chosen = asked.filter((key, at) => byKey.has(key) && asked.indexOf(key) === at).slice(0, most);
  };
  const address = () => (chosen.join() === first.join() ? "" : "#" + new URLSearchParams({ entries: chosen.join(" ") }));
  const draw = () => {
    lines.replaceChildren(...chosen.map((key, at) => {
      const heights = byKey.get(key).dataset.curve.split(" ");
      return svg("path", { class: `curve k${at}`, d: "M" + places.map((x, point) => `${x} ${heights[point]}`).join("L") });
    }));
    legend.replaceChildren(...chosen.map((key, at) => {
      const item = document.createElement("li");
      const swatch = svg("svg", { "aria-hidden": "true" });
      swatch.append(svg("path", { class: `curve k${at}`, d: "M0 7H28" }));
      const name = document.createElement("bdi");
      name.textContent = byKey.get(key).querySelector("a").textContent;
      const team = document.createElement("small");
      team.textContent = byKey.get(key).cells[2].textContent;
      item.append(swatch, name, team);
      return item;
    }));
    for (const row of rows) {
      const box = row.querySelector("input");
      box.checked = chosen.includes(row.dataset.key);
      box.disabled = !box.checked && chosen.length >= most;
    }
    for (const link of document.querySelectorAll(".tabs a")) link.hash = address();
  };
  const write = () => {
    try { history.replaceState(null, "", address() || location.pathname + location.search); } catch { /* then the choice has no address here */ }
  };

  const head = document.createElement("th");
  head.scope = "col";
  head.textContent = "Draw";
  rows[0]?.closest("table").tHead.rows[0].prepend(head);
  for (const row of rows) {
    const cell = document.createElement("td");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", `Draw ${row.querySelector("a").textContent}`);
    box.addEventListener("change", () => {
      chosen = box.checked ? [...chosen, row.dataset.key] : chosen.filter((key) => key !== row.dataset.key);
      write();
      draw();
    });
    cell.append(box);
    row.prepend(cell);
  }
  document.getElementById("find").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  });
  document.getElementById("choose").hidden = false;
  addEventListener("hashchange", () => { read(); draw(); });
  read();
  draw();
})();
