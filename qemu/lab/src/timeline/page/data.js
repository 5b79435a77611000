// The trace, as embedded: events in columns, lives as places in them.

const raw = JSON.parse(document.getElementById("data").textContent);
const events = decode(raw.events);
const lives = decodeLives(raw.lives);
// The life that an event is shown with: its own descriptor, or the one that a message was sent for.
const lifeOf = new Int32Array(events.count).fill(-1);
const span = { from: 0, to: events.count ? events.end[events.count - 1] : 1 };
link();

function decode(columns) {
  const count = columns.t.length;
  const end = new Float64Array(count), begin = new Float64Array(count);
  let now = 0;
  for (let i = 0; i < count; i++) {
    now += columns.t[i];
    end[i] = now;
    begin[i] = now - columns.d[i];
  }
  const stage = Uint8Array.from(columns.k, (k) => k & 15), driver = Uint8Array.from(columns.k, (k) => k >> 4);
  return {
    count, begin, end, stage, driver, channel: Int16Array.from(columns.c), mark: Uint8Array.from(columns.m),
    vector: Int32Array.from(columns.v), processor: Int32Array.from(columns.p),
    generation: columns.g, sequence: columns.s, address: columns.a, length: columns.l, code: columns.e,
  };
}

function decodeLives(columns) {
  const count = columns.c.length, width = 11;
  const at = new Int32Array(count * width).fill(-1);
  for (let n = 0; n < count * width; n++) {
    if (columns.at[n]) at[n] = columns.first[Math.floor(n / width)] + columns.at[n] - 1;
  }
  return { count, channel: columns.c, generation: columns.g, sequence: columns.s, own: columns.own, begin: columns.begin, at, width };
}

// The event of a life at one of the ten points, or -1; 10 is its record.
function pointOf(life, point) { return lives.at[life * lives.width + point]; }

function link() {
  for (const wanted of [1, 0]) {
    for (let life = 0; life < lives.count; life++) {
      if (lives.own[life] !== wanted) continue;
      for (let point = 0; point < lives.width; point++) {
        const event = pointOf(life, point);
        if (event >= 0 && lifeOf[event] < 0) lifeOf[event] = life;
      }
    }
  }
  // What was held back is shown with the descriptor that it names.
  const known = new Map();
  for (let life = 0; life < lives.count; life++) known.set(`${lives.channel[life]}/${lives.generation[life]}/${lives.sequence[life]}`, life);
  for (let i = 0; i < events.count; i++) {
    if (lifeOf[i] >= 0 || events.driver[i] || events.stage[i] !== 5) continue;
    const life = known.get(`${events.channel[i]}/${events.generation[i]}/${events.sequence[i]}`);
    if (life !== undefined) lifeOf[i] = life;
  }
}

// The channel that an event is about: of the driver's stages, by their descriptor. -1: not known.
function channelOf(event) {
  const life = lifeOf[event];
  if (life >= 0) return lives.channel[life];
  return events.driver[event] && events.stage[event] !== 0 ? -1 : events.channel[event];
}

// The known points of a life in the order of time: [name, ns, event]. A message's stamp is taken when it is under way: where
// the driver was there first, it counts as sent then. The service routine's is of its end; it counts from its request, made inside.
function pointsOf(life) {
  const known = [];
  for (let point = 0; point < 10; point++) {
    const event = pointOf(life, point);
    if (event >= 0) known.push([WAY[point][0], events.end[event], event]);
  }
  const after = known.filter(([name]) => name === "isr" || name === "queue" || name === "dpc").map(([, t]) => t);
  const asked = known.filter(([name]) => name === "queue").map(([, t]) => t);
  for (const point of known) {
    if (point[0] === "msix") point[1] = Math.min(point[1], ...after);
    if (point[0] === "isr") point[1] = Math.min(point[1], ...asked);
  }
  // Its own message, which came when it was reported already.
  const dpc = pointOf(life, 9), late = dpc >= 0 && pointOf(life, 7) < 0 && pointOf(life, 6) >= 0 && events.end[pointOf(life, 6)] > events.end[dpc];
  return known.filter(([name]) => !(late && name === "msix")).sort((a, b) => a[1] - b[1]);
}

// The times between them: [name, ns, until, event].
function spansOf(life) {
  const points = pointsOf(life);
  const record = pointOf(life, 10), fetch = pointOf(life, 2);
  if (record >= 0) points.push(["execute", events.end[record], record]);
  const start = fetch >= 0 ? fetch : record;
  if (lives.begin[life] >= 0 && start >= 0) points.push(["wait", events.end[start] - lives.begin[life], -1]);
  points.sort((a, b) => a[1] - b[1]);
  const spans = [];
  for (let n = 1; n < points.length; n++) {
    if (points[n][0] !== "written") spans.push([points[n][0], points[n][1] - points[n - 1][1], points[n][1], points[n][2]]);
  }
  if (points.length > 2) spans.push(["total", points[points.length - 1][1] - points[0][1], points[points.length - 1][1], -1]);
  return spans;
}

// The first index whose end is not before t.
function firstAt(items, t) {
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events.end[items[middle]] < t) low = middle + 1;
    else high = middle;
  }
  return low;
}
