// The overview, the mouse, the keys, the theme; and the start.

const opened = performance.now();
const scroll = document.getElementById("scroll"), tip = document.getElementById("tip"), words = document.getElementById("words");
const problems = [];
window.addEventListener("error", (error) => { problems.push(error.message); document.body.dataset.problems = problems.join("; "); });

function drawOverview() {
  const width = overview.clientWidth, pen = prepare(overview, width, 34), bins = new Uint32Array(width), worst = new Uint8Array(width);
  const per = (width - LABELS - 8) / (span.to - span.from || 1), at = (t) => LABELS + (t - span.from) * per;
  let most = 1;
  for (let i = 0; i < events.count; i++) {
    if (!wanted(i)) continue;
    const x = Math.floor(at(events.end[i]));
    bins[x] += 1;
    most = Math.max(most, bins[x]);
    worst[x] = Math.max(worst[x], events.stage[i] === LOST ? 3 : events.mark[i]);
  }
  pen.fillStyle = view.colors.soft;
  pen.fillText("everything", 10, 17);
  for (let x = 0; x < width; x++) {
    if (!bins[x]) continue;
    const high = Math.max(2, (26 * Math.log2(1 + bins[x])) / Math.log2(1 + most));
    pen.fillStyle = worst[x] >= 2 ? view.colors.fault : view.colors.faint;
    pen.fillRect(x, 31 - high, 1, high);
  }
  const left = Math.max(LABELS, at(view.from)), right = Math.min(width - 1, at(view.to));
  pen.fillStyle = view.colors.choose;
  pen.fillRect(left, 1, Math.max(2, right - left), 32);
  pen.strokeStyle = view.colors.accent;
  pen.lineWidth = 1.5;
  pen.strokeRect(left + 0.5, 1.5, Math.max(2, right - left - 1), 31);
}

// The event under the mouse: the nearest on that track within a few pixels.
function under(x, y) {
  const track = tracks.filter(visible).find((one) => y >= AXIS + one.top && y < AXIS + one.top + one.tall);
  if (!track || x < LABELS) return -1;
  const t = tOf(x), near = 6 / scale();
  let best = -1, distance = Infinity;
  for (let n = firstAt(track.items, t - near); n < track.items.length; n++) {
    const event = track.items[n];
    if (events.end[event] - track.longest > t + near) break;
    if (!wanted(event)) continue;
    const inside = events.begin[event] <= t && events.end[event] >= t;
    const away = inside ? (events.end[event] - events.begin[event]) * 1e-6 : Math.min(Math.abs(events.end[event] - t), Math.abs(events.begin[event] - t));
    if (away < distance && away <= near) [best, distance] = [event, away];
  }
  return best;
}

function tipWords(event) {
  const { stage, driver, mark, sequence, generation, address, length, channel } = events;
  if (stage[event] === LOST) return `${plural(Number(length[event]), "record")} did not fit and are missing before this time`;
  const life = lifeOf[event], lines = [`${driver[event] ? "driver" : "device"}: ${NAMES[stage[event]]}${mark[event] ? `, ${MARKS[mark[event]]}: ${MARK_WORDS[mark[event]]}` : ""}`];
  lines.push(`at +${duration(events.end[event])}, took ${duration(events.end[event] - events.begin[event])}`);
  if (stage[event] < 6) lines.push(`channel ${channel[event]}, generation ${generation[event]}, sequence ${sequence[event]}`);
  if (stage[event] === 0) lines.push(`DMACOUNT is ${length[event]} now`);
  else if (stage[event] === 3 || stage[event] === EXECUTED) lines.push(`${bytes(length[event])} to 0x${address[event]}`);
  else if (stage[event] !== 7) lines.push(`address 0x${address[event]}`);
  if (life >= 0) {
    lines.push("", `${nameOf(life)}:`);
    const spans = spansOf(life), total = spans.find(([name]) => name === "total");
    lines.push(spans.filter(([name]) => name !== "total").map(([name, ns]) => `${name} ${duration(ns)}`).join(" · "));
    if (total) lines.push(`in all ${duration(total[1])}`);
  } else if (driver[event]) lines.push("", "belongs to no descriptor that is known");
  return lines.join("\n");
}

function point(event) {
  const box = canvas.getBoundingClientRect(), found = under(event.clientX - box.left, event.clientY - box.top);
  tip.hidden = found < 0;
  const life = found < 0 ? -1 : lifeOf[found];
  if (life !== view.hoverLife) { view.hoverLife = life; draw(); }
  if (found < 0) return;
  tip.textContent = tipWords(found);
  const x = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8), below = event.clientY + 18;
  tip.style.left = `${x}px`;
  tip.style.top = `${below + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 12 : below}px`;
}

let drag = null;
canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, from: view.from, to: view.to, moved: false }; canvas.setPointerCapture(event.pointerId); });
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return point(event);
  const by = event.clientX - drag.x;
  drag.moved = drag.moved || Math.abs(by) > 3;
  if (drag.moved) { tip.hidden = true; look(drag.from - by / scale(), drag.to - by / scale()); }
});
canvas.addEventListener("pointerup", (event) => {
  if (drag && !drag.moved) {
    const box = canvas.getBoundingClientRect(), found = under(event.clientX - box.left, event.clientY - box.top);
    choose(found < 0 ? -1 : lifeOf[found], false);
  }
  drag = null;
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; if (view.hoverLife >= 0) { view.hoverLife = -1; draw(); } });
canvas.addEventListener("wheel", (event) => {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left;
  // Over the names it scrolls the tracks.
  if (x < LABELS) return;
  event.preventDefault();
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / view.width);
  else zoom(Math.exp(Math.sign(event.deltaY) * Math.min(0.4, Math.abs(event.deltaY) / 400)), tOf(x));
}, { passive: false });

let strip = false;
const toStrip = (event) => {
  const box = overview.getBoundingClientRect(), half = (view.to - view.from) / 2;
  const t = span.from + ((event.clientX - box.left - LABELS) / (box.width - LABELS - 8)) * (span.to - span.from);
  look(t - half, t + half);
};
overview.addEventListener("pointerdown", (event) => { strip = true; overview.setPointerCapture(event.pointerId); toStrip(event); });
overview.addEventListener("pointermove", (event) => { if (strip) toStrip(event); });
overview.addEventListener("pointerup", () => { strip = false; });
overview.addEventListener("dblclick", lookAtAll);

// The next descriptor of the same channel, or the next thing that is wrong.
function next(by) {
  let life = view.life;
  const channel = life < 0 ? -1 : lives.channel[life];
  do life += by; while (life >= 0 && life < lives.count && !(channel < 0 ? shown.has(lives.channel[life]) : lives.channel[life] === channel));
  if (life >= 0 && life < lives.count) choose(life, true);
}
let trouble = -1;
function nextTrouble() {
  const all = [...troubles, ...losses].sort((a, b) => a - b);
  if (all.length) goTo(all[trouble = (trouble + 1) % all.length]);
}

const KEYS = [
  ["+ or w", "zoom in", () => zoom(0.6)], ["- or s", "zoom out", () => zoom(1 / 0.6)], ["left or a", "go back in time", () => pan(-0.2)], ["right or d", "go on in time", () => pan(0.2)],
  ["0 or f", "show everything", lookAtAll], ["n", "the channel's next descriptor", () => next(1)], ["p", "the one before", () => next(-1)], ["z", "fill the window with the chosen descriptor", () => view.life >= 0 && choose(view.life, true)],
  ["e", "the next fault, error or loss", nextTrouble], ["l", "the slowest descriptor", () => slowest.length && choose(slowest[0][1], true)], ["t", "light, dark, as the system is", () => theme(true)], ["Escape", "choose nothing", () => choose(-1)], ["?", "this help", help],
];
window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
  const pressed = { ArrowLeft: "left", ArrowRight: "right", "=": "+", h: "?" }[event.key] || event.key;
  if (words.open && pressed !== "Escape") return words.close();
  const key = KEYS.find(([names]) => names.split(" or ").includes(pressed));
  if (key) { event.preventDefault(); key[2](); }
});

function help() {
  const row = (...cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
  words.replaceChildren(element("h2", {}, "The way of a descriptor"),
    element("table", {}, ...WAY.map(([name, side, stage, text]) => row(element("span", {}, dot(stage), name), side, text))),
    element("p", { class: "soft" }, "A stage is stamped when it ends; its bar begins where what came before it ended. A hollow mark is a doorbell the driver wrote, or a message that was held back; a red diamond is a fault or an error. " +
      "Where there are more events than pixels, a track shows how many there are, by height."),
    element("h2", {}, "Keys and mouse"),
    element("table", {}, ...KEYS.map(([key, text]) => row(element("kbd", {}, key), text)), row("wheel, drag", "zoom at the mouse, move; with Shift the wheel moves; over the names it scrolls")),
    element("button", { onclick: () => words.close() }, "close"));
  words.showModal();
}

const THEMES = ["auto", "light", "dark"], prefers = window.matchMedia("(prefers-color-scheme: dark)");
let chosen = "auto";
function theme(turn) {
  if (turn) chosen = THEMES[(THEMES.indexOf(chosen) + 1) % 3];
  const dark = chosen === "dark" || (chosen === "auto" && prefers.matches);
  document.documentElement.toggleAttribute("data-dark", dark);
  document.getElementById("theme").textContent = `theme: ${chosen}`;
  readColors();
  draw();
}
prefers.addEventListener("change", () => theme(false));

function head() {
  const { stats, headers } = raw, clock = headers.some((one) => one.clock === "virtual") ? ", in the simulator's virtual time" : "";
  const programs = [...new Set(headers.map((one) => one.program).filter(Boolean))].join(" and ");
  const error = stats.clock_error_ns === null ? "" : `; two clocks fitted, the driver's times may be wrong by ${duration(stats.clock_error_ns)}`;
  document.getElementById("summary").textContent = `${plural(stats.descriptors, "descriptor")}, ${bytes(stats.bytes)} moved, ${plural(events.count, "event")} on ${plural(allChannels.length, "channel")} in ${duration(stats.span_ns)}${clock}${programs ? ` by ${programs}` : ""}${error}`;
  const wrong = [[stats.faulted, "faulted by a rule"], [stats.errors, stats.errors === 1 ? "error" : "errors"], [stats.lost, "records lost"]].filter(([n]) => n).map(([n, what]) => `${n} ${what}`);
  const line = document.getElementById("trouble");
  if (wrong.length) line.append(element("button", { class: "bad", onclick: nextTrouble }, `${wrong.join(", ")}: show (e)`));
  raw.warnings.forEach((warning) => line.append(element("span", { class: "warning" }, warning)));
  const box = (channel) => {
    const input = element("input", { type: "checkbox", value: channel, onchange: (change) => { change.target.checked ? shown.add(channel) : shown.delete(channel); draw(); } });
    input.checked = true;
    return element("label", { class: "chip" }, input, `channel ${channel}`);
  };
  document.getElementById("channels").append(...allChannels.map(box));
  const used = new Set(events.stage);
  document.getElementById("legend").append(...NAMES.filter((name, n) => used.has(n) && name !== "lost").map((name) => element("span", { class: "key" }, element("i", { style: `background: var(--${name})` }), name)),
    element("span", { class: "key" }, element("i", { style: "background: var(--fault); transform: rotate(45deg)" }), "fault, error"));
}

function start() {
  const asks = new URLSearchParams(location.hash.slice(1));
  if (THEMES.includes(asks.get("theme"))) chosen = asks.get("theme");
  for (const [id, act] of [["in", () => zoom(0.6)], ["out", () => zoom(1 / 0.6)], ["fit", lookAtAll], ["theme", () => theme(true)], ["help", help]]) document.getElementById(id).addEventListener("click", act);
  window.addEventListener("resize", draw);
  head();
  theme(false);
  lookAtAll();
  showLife();
  if (asks.get("channels")) document.querySelectorAll("#channels input").forEach((box) => { if (!asks.get("channels").split(",").includes(box.value)) box.click(); });
  if (asks.get("from")) look(Number(asks.get("from")), Number(asks.get("to")));
  if (asks.get("life")) choose(asks.get("life") === "slowest" ? slowest[0][1] : Math.min(lives.count - 1, Number(asks.get("life"))), !asks.get("from"));
  if (asks.has("help")) help();
  drawNow();
  times.show();
  Object.assign(document.body.dataset, { events: events.count, lives: lives.count, tracks: tracks.length, troubles: troubles.length, losses: losses.length,
    loadMs: Math.round(performance.now() - opened), sinceOpenMs: Math.round(performance.now()), ready: "yes" });
}
start();
