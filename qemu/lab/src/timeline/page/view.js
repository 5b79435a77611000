// What is drawn: tracks, lines of descriptors, the overview; and where in time one looks.

const LABELS = 150, AXIS = 22, FLOWS = 160;
const canvas = document.getElementById("tracks"), overview = document.getElementById("overview");
const view = { from: span.from, to: span.to, hover: -1, hoverLife: -1, life: -1, width: 1, height: 1, colors: {} };
const NAMES = [...raw.stages, "execute", "lost"];

function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ground", "raised", "line", "band", "ink", "soft", "faint", "accent", "choose", "fault", "held", "lost", "wait", ...SPANS]) {
    view.colors[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

const scale = () => (view.width - LABELS) / (view.to - view.from);
const xOf = (t) => LABELS + (t - view.from) * scale();
const tOf = (x) => view.from + (x - LABELS) / scale();

function look(from, to) {
  const most = Math.max(1, span.to - span.from), least = Math.min(most, 50);
  const wide = Math.min(most * 1.04, Math.max(least, to - from));
  const middle = Math.min(span.to + wide * 0.45, Math.max(span.from - wide * 0.45, (from + to) / 2));
  view.from = middle - wide / 2;
  view.to = middle + wide / 2;
  draw();
}
const lookAtAll = () => { const air = (span.to - span.from) * 0.01; look(span.from - air, span.to + air); };
const zoom = (factor, at = (view.from + view.to) / 2) => look(at - (at - view.from) * factor, at + (view.to - at) * factor);
const pan = (part) => { const by = (view.to - view.from) * part; look(view.from + by, view.to + by); };

// A canvas as fine as the screen.
function prepare(target, width, height) {
  const fine = window.devicePixelRatio || 1;
  target.width = Math.round(width * fine);
  target.height = Math.round(height * fine);
  target.style.height = `${height}px`;
  const pen = target.getContext("2d");
  pen.setTransform(fine, 0, 0, fine, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  pen.textBaseline = "middle";
  return pen;
}

let asked = false;
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; drawNow(); });
}

function drawNow() {
  const room = document.getElementById("scroll");
  view.width = room.clientWidth;
  const tall = AXIS + place(room.clientHeight - AXIS - 4) + 4;
  view.height = Math.max(tall, room.clientHeight - 1);
  const pen = prepare(canvas, view.width, view.height);
  const list = tracks.filter(visible);
  list.forEach((track, n) => drawGround(pen, track, n));
  drawAxis(pen);
  pen.save();
  pen.beginPath();
  pen.rect(LABELS, 0, view.width - LABELS, view.height);
  pen.clip();
  const few = list.map((track) => drawTrack(pen, track));
  if (few.every(Boolean)) drawFlows(pen);
  for (const life of new Set([view.hoverLife, view.life])) if (life >= 0) drawLife(pen, life);
  drawLosses(pen);
  pen.restore();
  drawOverview();
  times.later();
}

function drawGround(pen, track, n) {
  const { top, tall, name } = track, y = AXIS + top;
  pen.fillStyle = n % 2 ? view.colors.band : view.colors.ground;
  pen.fillRect(0, y, view.width, tall);
  pen.fillStyle = track.kind === "engine" || track.kind === "dpc" ? view.colors.ink : view.colors.soft;
  pen.fillText(name, 10, y + tall / 2 + 0.5);
}

function step(ns) {
  const power = 10 ** Math.floor(Math.log10(ns));
  return [1, 2, 5, 10].map((by) => by * power).find((size) => size >= ns);
}

function drawAxis(pen) {
  const every = step((view.to - view.from) / Math.max(2, (view.width - LABELS) / 130));
  pen.strokeStyle = view.colors.line;
  pen.fillStyle = view.colors.soft;
  pen.lineWidth = 1;
  for (let t = Math.ceil(view.from / every) * every; t <= view.to; t += every) {
    const x = Math.round(xOf(t)) + 0.5;
    if (x < LABELS) continue;
    pen.beginPath();
    pen.moveTo(x, AXIS - 5);
    pen.lineTo(x, view.height);
    pen.stroke();
    pen.fillText(`${t < 0 ? "-" : "+"}${axisWords(Math.abs(t), every)}`, x + 4, AXIS / 2);
  }
  pen.beginPath();
  pen.moveTo(LABELS - 0.5, 0);
  pen.lineTo(LABELS - 0.5, view.height);
  pen.stroke();
}

// The unit of what is seen, and as many digits as the steps need.
function axisWords(t, every) {
  const far = Math.max(Math.abs(view.from), Math.abs(view.to));
  const [unit, size] = far >= 1e9 ? ["s", 1e9] : far >= 1e6 ? ["ms", 1e6] : far >= 1e3 ? ["us", 1e3] : ["ns", 1];
  return `${(t / size).toFixed(Math.max(0, Math.ceil(-Math.log10(every / size) - 1e-9)))} ${unit}`;
}

function colorOf(event) {
  if (events.mark[event] >= 2) return view.colors.fault;
  return view.colors[NAMES[events.stage[event]]];
}

// Draws one track; true if each event was drawn for itself.
function drawTrack(pen, track) {
  const items = track.items;
  const first = firstAt(items, view.from), pixels = view.width - LABELS;
  let last = first;
  while (last < items.length && events.end[items[last]] - track.longest <= view.to) last += 1;
  if (last - first > pixels) {
    drawDense(pen, track, first, last);
    return false;
  }
  const y = AXIS + track.top + 3, tall = track.tall - 6;
  for (let n = first; n < last; n++) {
    const event = items[n];
    if (!wanted(event)) continue;
    drawEvent(pen, track, event, y, tall);
  }
  return true;
}

function drawEvent(pen, track, event, y, tall) {
  const [left, right] = [xOf(events.begin[event]), xOf(events.end[event])];
  if (right < LABELS - 6 || left > view.width + 6) return;
  pen.fillStyle = colorOf(event);
  if (track.kind === "doorbell" || track.kind === "message" || events.stage[event] === 7) {
    drawTick(pen, event, right, y, tall);
  } else {
    const wide = Math.max(1, right - left);
    pen.globalAlpha = track.kind === "dpc" || track.kind === "routine" ? 0.8 : 1;
    pen.fillRect(left, y, wide, tall);
    pen.globalAlpha = 1;
    label(pen, event, left, wide, y, tall);
  }
  if (events.mark[event] >= 2) drawBad(pen, right, y);
}

// What has no length: a mark with its point at the time. The driver's own doorbell points down, the device's is full.
function drawTick(pen, event, x, y, tall) {
  const half = Math.min(5, tall / 2);
  pen.beginPath();
  pen.moveTo(x, y + tall);
  pen.lineTo(x - half, y + tall - 2 * half);
  pen.lineTo(x + half, y + tall - 2 * half);
  pen.closePath();
  if (events.driver[event] && events.stage[event] === 0 || events.mark[event] === 1) {
    pen.strokeStyle = events.mark[event] === 1 ? view.colors.held : pen.fillStyle;
    pen.lineWidth = 1.5;
    pen.stroke();
  } else pen.fill();
}

function drawBad(pen, x, y) {
  pen.fillStyle = view.colors.fault;
  pen.beginPath();
  pen.moveTo(x, y - 3);
  pen.lineTo(x + 5, y + 2);
  pen.lineTo(x, y + 7);
  pen.lineTo(x - 5, y + 2);
  pen.closePath();
  pen.fill();
  pen.strokeStyle = view.colors.ground;
  pen.lineWidth = 1;
  pen.stroke();
}

function label(pen, event, left, wide, y, tall) {
  const from = Math.max(left, LABELS), room = Math.min(left + wide, view.width) - from;
  if (room < 34 || tall < 12) return;
  const name = NAMES[events.stage[event]];
  const words = events.stage[event] <= 4 || events.stage[event] === EXECUTED ? `${name} #${events.sequence[event]}` : name;
  const long = pen.measureText(words).width + 8 > room ? name : words;
  if (pen.measureText(long).width + 8 > room) return;
  pen.fillStyle = view.colors.ground;
  pen.fillText(long, from + 4, y + tall / 2 + 0.5);
}

// More events than pixels: how many, as height; what is wrong is never hidden by it.
function drawDense(pen, track, first, last) {
  const pixels = Math.ceil(view.width - LABELS) + 1, counts = new Uint32Array(pixels), worst = new Uint8Array(pixels);
  const per = scale();
  let most = 1;
  for (let n = first; n < last; n++) {
    const event = track.items[n];
    const x = Math.floor((events.end[event] - view.from) * per);
    if (x < 0 || x >= pixels || !wanted(event)) continue;
    counts[x] += 1;
    if (counts[x] > most) most = counts[x];
    if (events.mark[event] > worst[x]) worst[x] = events.mark[event];
  }
  const base = AXIS + track.top + track.tall - 3, tall = track.tall - 6, full = Math.log2(1 + most);
  const colors = { engine: "copy", doorbell: "doorbell", message: "msix", routine: "isr", dpc: "dpc", lost: "lost" };
  for (let x = 0; x < pixels; x++) {
    if (!counts[x]) continue;
    const high = Math.max(2, (tall * Math.log2(1 + counts[x])) / full);
    pen.fillStyle = worst[x] >= 2 ? view.colors.fault : view.colors[colors[track.kind]];
    pen.fillRect(LABELS + x, base - high, 1, high);
  }
  for (let x = 0; x < pixels; x++) if (worst[x] >= 2) drawBad(pen, LABELS + x, base - tall);
}
