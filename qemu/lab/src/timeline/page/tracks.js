// The tracks from top to bottom: each channel's doorbells and engine, each vector, each processor.

const shown = new Set();
const allChannels = [...new Set([...events.channel].filter((c, i) => c >= 0 && (!events.driver[i] || events.stage[i] === 0)))].sort((a, b) => a - b);
for (const channel of allChannels) shown.add(channel);
const tracks = makeTracks();

function makeTracks() {
  const made = new Map();
  const put = (order, name, height, kind, channel, event) => {
    if (!made.has(order)) made.set(order, { order, name, height, kind, channel, items: [], longest: 0 });
    const track = made.get(order);
    track.items.push(event);
    track.longest = Math.max(track.longest, events.end[event] - events.begin[event]);
  };
  for (let i = 0; i < events.count; i++) {
    const [stage, channel, vector, processor] = [events.stage[i], events.channel[i], events.vector[i], events.processor[i]];
    if (stage === LOST) put(-1, "lost records", 16, "lost", -1, i);
    else if (stage === 0) put(2 * channel, `channel ${channel} doorbells`, 18, "doorbell", channel, i);
    else if (stage <= 4 || stage === EXECUTED) put(2 * channel + 1, `channel ${channel}`, 28, "engine", channel, i);
    else if (stage === 5) put(1e4 + 2 * vector, `vector ${vector} messages`, 18, "message", -1, i);
    else if (stage <= 7) put(1e4 + 2 * vector + 1, `vector ${vector} isr, queue`, 22, "routine", -1, i);
    else put(1e8 + processor, `processor ${processor} dpc`, 24, "dpc", -1, i);
  }
  const list = [...made.values()].sort((a, b) => a.order - b.order);
  list.forEach((track) => { track.items = Int32Array.from(track.items); });
  return list;
}

function visible(track) { return track.channel < 0 || shown.has(track.channel); }

function wanted(event) {
  const channel = channelOf(event);
  return channel < 0 || shown.has(channel);
}

// Gives each shown track its place; returns the height of all. Tracks grow where there is room.
function place(room) {
  const list = tracks.filter(visible);
  const need = list.reduce((sum, track) => sum + track.height, 0) + 24;
  const grow = Math.min(2, Math.max(0.78, room / Math.max(1, need)));
  let top = 0, group = "";
  for (const track of list) {
    // A line of air between channels, vectors and processors.
    const now = track.kind === "engine" || track.kind === "doorbell" ? "channels" : track.kind === "dpc" ? "processors" : "vectors";
    if (group && group !== now) top += 8;
    group = now;
    track.top = top;
    track.tall = Math.floor(track.height * grow);
    top += track.tall;
  }
  return top;
}

// The track of each event, for the lines between them.
const trackOf = new Map();
tracks.forEach((track) => track.items.forEach((event) => trackOf.set(event, track)));
