// How long each stage takes: of the channels that are shown, all of them or those in view.

const times = {
  inView: false, timer: 0, key: "",
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.show(), 60);
  },
  show() {
    const key = `${[...shown]}|${this.inView ? `${view.from}|${view.to}` : ""}`;
    if (key === this.key) return;
    this.key = key;
    const found = new Map(SPANS.map((name) => [name, []]));
    let counted = 0;
    for (let life = 0; life < lives.count; life++) {
      if (!shown.has(lives.channel[life]) || (this.inView && !inView(life))) continue;
      counted += 1;
      for (const [name, ns] of spansOf(life)) found.get(name).push(ns);
    }
    const rows = [...found].filter(([, list]) => list.length).map(([name, list]) => timesRow(name, Float64Array.from(list).sort()));
    const box = element("input", { type: "checkbox", onchange: (change) => { this.inView = change.target.checked; this.show(); } });
    box.checked = this.inView;
    const scaleWords = element("div", { class: "decades" }, ...["", "1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s"].map((word) => element("span", {}, word)));
    const heads = ["stage", "p50", "p90", "p99", "max", scaleWords];
    // Without a row the heads would fall on each other.
    const table = rows.length ? element("table", { id: "latency" }, element("thead", {}, element("tr", {}, ...heads.map((word, n) => element("th", { class: n === 5 ? "left" : "" }, word)))),
      element("tbody", {}, ...rows)) : element("p", { class: "soft" }, "Nothing to measure.");
    document.getElementById("times").replaceChildren(
      element("h2", {}, `How long each stage takes, ${plural(counted, "descriptor")} `, element("label", { class: "chip" }, box, "only what is in view")),
      table);
  },
};

function inView(life) {
  const start = pointOf(life, 2) >= 0 ? pointOf(life, 2) : pointOf(life, 10);
  return start >= 0 && events.end[start] >= view.from && events.end[start] <= view.to;
}

// Nearest rank, as `netdma-lab trace stats` does it.
const rank = (sorted, percent) => sorted[Math.max(1, Math.ceil((sorted.length * percent) / 100)) - 1];

function timesRow(name, sorted) {
  const bins = new Array(22).fill(0);
  for (const ns of sorted) bins[Math.min(21, Math.max(0, Math.floor(3 * (Math.log10(Math.max(1, ns)) - 2))))] += 1;
  const most = Math.max(...bins);
  const bars = bins.map((n, at) => (n ? `<rect x="${at}" y="${(20 - Math.max(1.5, (19 * n) / most)).toFixed(2)}" width="0.86" height="20"/>` : "")).join("");
  const place = (ns) => Math.min(22, Math.max(0, 3 * (Math.log10(Math.max(1, ns)) - 2))).toFixed(2);
  const mid = place(rank(sorted, 50));
  const cell = element("td", { class: "bar" });
  cell.innerHTML = `<svg preserveAspectRatio="none" viewBox="0 0 22 20" style="fill: var(--${name})">${[0, 3, 6, 9, 12, 15, 18, 21].map((x) => `<line x1="${x}" x2="${x}" y1="0" y2="20" stroke="var(--line)" vector-effect="non-scaling-stroke"/>`).join("")}<line x1="0" x2="22" y1="19.7" y2="19.7" stroke="var(--line)" stroke-width="0.6"/>${bars}` +
    `<line x1="${mid}" x2="${mid}" y1="0" y2="20" stroke="var(--ink)" stroke-width="1" vector-effect="non-scaling-stroke"/></svg>`;
  const row = element("tr", { "data-stage": name, "data-count": sorted.length, title: `${name}: ${SPAN_WORDS[name] || "the stage itself"}; ${plural(sorted.length, "descriptor")}` },
    element("td", {}, dot(name), name), ...[rank(sorted, 50), rank(sorted, 90), rank(sorted, 99), sorted[sorted.length - 1]].map((ns) => element("td", { "data-ns": ns }, duration(ns))), cell);
  return row;
}
