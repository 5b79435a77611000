// Lines of descriptors, one descriptor's life, and what is worth a look.

const panel = document.getElementById("life");

function placeOf(event) {
  const track = trackOf.get(event);
  return track && visible(track) ? [xOf(events.end[event]), AXIS + track.top + track.tall / 2] : null;
}

function drawPath(pen, life, each) {
  const places = pointsOf(life).filter(([name]) => name !== "translate").map(([name, t, event]) => {
    const place = placeOf(event);
    return place && [xOf(t), place[1], name, event];
  }).filter(Boolean);
  for (let n = 1; n < places.length; n++) {
    const [a, b] = [places[n - 1], places[n]];
    if (a[1] === b[1]) continue;
    const bend = Math.min(40, Math.max(6, Math.abs(b[0] - a[0]) / 2));
    pen.beginPath();
    pen.moveTo(a[0], a[1]);
    pen.bezierCurveTo(a[0] + bend, a[1], b[0] - bend, b[1], b[0], b[1]);
    pen.stroke();
  }
  if (each) places.forEach(each);
}

// The lines of every descriptor that got its own message, if there are few enough to tell them apart.
function drawFlows(pen) {
  const inside = [];
  for (let life = 0; life < lives.count && inside.length <= FLOWS; life++) {
    const start = pointOf(life, 2) >= 0 ? pointOf(life, 2) : pointOf(life, 10);
    if (start < 0 || !lives.own[life] || !shown.has(lives.channel[life])) continue;
    if (events.end[start] >= view.from && events.end[start] <= view.to) inside.push(life);
  }
  if (inside.length > FLOWS) return;
  pen.strokeStyle = view.colors.faint;
  pen.lineWidth = 1;
  pen.globalAlpha = inside.length > 60 ? 0.35 : 0.7;
  inside.forEach((life) => drawPath(pen, life));
  pen.globalAlpha = 1;
}

function drawLife(pen, life) {
  pen.strokeStyle = view.colors.accent;
  pen.lineWidth = life === view.life ? 2 : 1.5;
  drawPath(pen, life, ([x, y, name]) => {
    pen.beginPath();
    pen.arc(x, y, 4.5, 0, 7);
    pen.fillStyle = view.colors[name === "written" ? "doorbell" : name] || view.colors.accent;
    pen.fill();
    pen.strokeStyle = view.colors.ground;
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.strokeStyle = view.colors.accent;
    pen.lineWidth = life === view.life ? 2 : 1.5;
  });
}

function drawLosses(pen) {
  for (const event of losses) {
    const x = xOf(events.end[event]);
    if (x < LABELS || x > view.width) continue;
    pen.strokeStyle = view.colors.lost;
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(x, AXIS);
    pen.lineTo(x, view.height);
    pen.stroke();
    pen.setLineDash([]);
  }
}

const losses = [], troubles = [];
for (let i = 0; i < events.count; i++) {
  if (events.stage[i] === LOST) losses.push(i);
  else if (events.mark[i] >= 2) troubles.push(i);
}
// Slowest first; of a batch only the one that its message is of.
const slowest = [];
for (let life = 0; life < lives.count; life++) {
  if (!lives.own[life] && pointOf(life, 6) >= 0) continue;
  const spans = spansOf(life), last = spans[spans.length - 1];
  if (last && last[0] === "total") slowest.push([last[1], life]);
}
slowest.sort((a, b) => b[0] - a[0]);

const nameOf = (life) => `descriptor ${lives.sequence[life]} of channel ${lives.channel[life]}`;

function choose(life, move) {
  view.life = life;
  if (life >= 0 && move) {
    const points = pointsOf(life), from = points[0][1], to = points[points.length - 1][1], air = Math.max(100, (to - from) * 0.25);
    look(from - air, to + air);
  }
  showLife();
  draw();
}

function showLife() {
  if (view.life < 0) return showList();
  const life = view.life, spans = spansOf(life), points = pointsOf(life);
  const start = points[0][1], whole = Math.max(1, points[points.length - 1][1] - start);
  const copy = [pointOf(life, 4), pointOf(life, 10), pointOf(life, 3)].find((event) => event >= 0);
  const what = copy === undefined ? "" : events.address[copy] === "0" ? ", a NULL that moves nothing" : `, ${bytes(events.length[copy])} to 0x${events.address[copy]}`;
  const rows = points.map(([name, t, event]) => lifeRow(name, t, event, spans.find((one) => one[3] === event), start, whole));
  if (pointOf(life, 10) >= 0) {
    const event = pointOf(life, 10);
    rows.push(lifeRow("execute", events.end[event], event, spans.find((one) => one[3] === event), start, whole));
    rows.sort((a, b) => a.t - b.t);
  }
  const wait = spans.find(([name]) => name === "wait");
  if (wait && wait[1] > 0) {
    rows.push(lifeRow("wait", wait[2], -1, wait, start, whole));
    rows.sort((a, b) => a.t - b.t);
  }
  const missing = WAY.filter(([name], n) => pointOf(life, n) < 0 && !(pointOf(life, 10) >= 0 && n >= 2 && n <= 5)).map(([name]) => name);
  const body = element("tbody", {}, ...rows.map((row) => row.line));
  panel.replaceChildren(
    element("h2", {}, `${nameOf(life)} (generation ${lives.generation[life]})${what}: ${duration(whole)} in all `,
      element("button", { onclick: () => choose(life, true) }, "show"), " ", element("button", { onclick: () => choose(-1) }, "close")),
    element("table", { id: "way" }, element("thead", {}, element("tr", {}, ...["stage", "at", "took", "where it was spent", "what"].map((word, n) => element("th", { class: n > 2 ? "left" : "" }, word)))), body),
    element("p", { class: "soft" }, `${lives.own[life] || pointOf(life, 6) < 0 ? "" : "A later descriptor's message announces this one. "}${missing.length ? `Not known: ${missing.join(", ")}.` : ""}`),
  );
}

function lifeRow(name, t, event, found, start, whole) {
  const took = found ? found[1] : 0, stage = name === "written" ? "doorbell" : name;
  const left = (100 * (t - took - start)) / whole, wide = Math.max(0.6, (100 * took) / whole);
  const bar = `<svg preserveAspectRatio="none" viewBox="0 0 100 20"><rect x="${left.toFixed(3)}" y="4" width="${wide.toFixed(3)}" height="12" style="fill: var(--${stage})"/></svg>`;
  const cell = element("td", { class: "bar" });
  cell.innerHTML = bar;
  const mark = event >= 0 ? events.mark[event] : 0;
  const line = element("tr", {},
    element("td", {}, dot(stage), name === "written" ? "written (driver)" : name),
    element("td", {}, duration(t - start)),
    element("td", {}, found ? `+${duration(took)}` : ""),
    cell,
    element("td", { class: mark >= 2 ? "left bad" : "left" }, event >= 0 ? placeWords(name, event) : "behind earlier descriptors"));
  return { t, line };
}

function placeWords(name, event) {
  const { mark, code, vector, processor, address, length } = events;
  const words = [];
  if (name === "written" || name === "doorbell") words.push(`count ${length[event]}`);
  if (name === "msix") words.push(`vector ${vector[event]}`);
  if (name === "isr" || name === "dpc") words.push(`processor ${processor[event]}`);
  if (name === "queue") words.push(processorsOf(length[event]));
  if (name === "fetch" || name === "complete") words.push(`0x${address[event]}`);
  if (mark[event]) words.push(mark[event] === 3 ? `error 0x${code[event].toString(16)}` : MARKS[mark[event]]);
  return words.join(", ");
}

// A bitmap in words.
function processorsOf(bitmap) {
  const list = [...BigInt(bitmap).toString(2)].reverse().map((bit, n) => (bit === "1" ? n : -1)).filter((n) => n >= 0);
  return list.length ? `on processor${list.length > 1 ? "s" : ""} ${list.join(", ")}` : "queued already";
}

function showList() {
  const troubleButton = (event) => element("button", { class: "bad", onclick: () => goTo(event) },
    `${events.driver[event] ? "driver" : "device"} ${NAMES[events.stage[event]]} ${MARKS[events.mark[event]]} at +${duration(events.end[event])}`);
  const lossButton = (event) => element("button", { onclick: () => goTo(event) }, `${plural(Number(events.length[event]), "record")} lost before +${duration(events.end[event])}`);
  panel.replaceChildren(
    element("h2", {}, lives.count ? "One descriptor's life: point at an event, or click it. Worth a look:" : "No descriptor's life is in here: the device's side tells of them."),
    element("div", { class: "list" },
      ...troubles.slice(0, 12).map(troubleButton), ...(troubles.length > 12 ? [`and ${troubles.length - 12} more (e) `] : []),
      ...losses.slice(0, 6).map(lossButton),
      ...slowest.slice(0, 6).map(([ns, life], n) => element("button", { onclick: () => choose(life, true) }, `${n ? "slow" : "slowest"}: ${nameOf(life)}, ${duration(ns)}`))),
    element("p", { class: "soft" }, "Every row is a place where something happens, time runs to the right. A descriptor's way begins with a doorbell on its channel, is fetched, translated, copied and completed there, " +
      "goes as a message over a vector, and ends when a DPC on a processor reports it. Press ? for all words and keys."));
}

function goTo(event) {
  if (lifeOf[event] >= 0) return choose(lifeOf[event], true);
  const half = 50_000;
  look(events.end[event] - half, events.end[event] + half);
}
