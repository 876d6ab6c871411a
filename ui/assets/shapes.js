// Geometry of the map, without a page: a lasso of few corners, labels that do not overlap, the point next to the pointer.

/** Return at most `most` corners of a path, by Douglas and Peucker (1973): the tolerance grows until so few are left. */
export function simplified(path, most) {
  const [xs, ys] = [path.map(([x]) => x), path.map(([, y]) => y)];
  const size = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) || 1;
  for (let tolerance = size / 500; ; tolerance *= 1.5) {
    const corners = reduced(path, tolerance);
    if (corners.length <= most) return corners;
  }
}

function reduced(path, tolerance) {
  const kept = new Uint8Array(path.length);
  kept[0] = kept[path.length - 1] = 1;
  const spans = [[0, path.length - 1]];
  while (spans.length) {
    const [first, last] = spans.pop();
    let farthest = 0, place = -1;
    for (let i = first + 1; i < last; i++) {
      const distance = offLine(path[i], path[first], path[last]);
      if (distance > farthest) [farthest, place] = [distance, i];
    }
    if (farthest > tolerance) {
      kept[place] = 1;
      spans.push([first, place], [place, last]);
    }
  }
  return path.filter((_, i) => kept[i]);
}

function offLine([x, y], [x1, y1], [x2, y2]) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const along = dx || dy ? Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy))) : 0;
  return Math.hypot(x - x1 - along * dx, y - y1 - along * dy);
}

/** Return the labels that have room, each {text, x, y} at its middle, those that come first before others. */
export function placed(labels, measure, width, height) {
  const taken = [];
  const found = [];
  for (const label of labels) {
    const half = measure(label.text) / 2 + 4;
    for (const lift of [0, -16, 16, -30, 30]) {
      const box = [label.x - half, label.y + lift - 9, label.x + half, label.y + lift + 9];
      if (box[0] < 2 || box[1] < 2 || box[2] > width - 2 || box[3] > height - 2) continue;
      if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      found.push({ ...label, y: label.y + lift });
      break;
    }
  }
  return found;
}

/** Points in a grid of cells, so that the nearest is looked for among few. */
export class Grid {
  constructor(points) {
    this.points = points;
    const count = points.length / 2;
    let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < count; i++) {
      left = Math.min(left, points[2 * i]); right = Math.max(right, points[2 * i]);
      bottom = Math.min(bottom, points[2 * i + 1]); top = Math.max(top, points[2 * i + 1]);
    }
    Object.assign(this, count ? { left, right, bottom, top } : { left: -1, right: 1, bottom: -1, top: 1 });
    this.side = Math.max(1, Math.min(256, Math.ceil(Math.sqrt(count / 2))));
    this.starts = new Uint32Array(this.side * this.side + 1);
    this.order = new Uint32Array(count);
    const cells = new Uint32Array(count);
    for (let i = 0; i < count; i++) this.starts[(cells[i] = this.column(points[2 * i]) + this.side * this.row(points[2 * i + 1])) + 1]++;
    for (let cell = 0; cell < this.side * this.side; cell++) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    for (let i = 0; i < count; i++) this.order[next[cells[i]]++] = i;
  }

  column(x) { return this.place((x - this.left) / (this.right - this.left || 1)); }
  row(y) { return this.place((y - this.bottom) / (this.top - this.bottom || 1)); }
  place(share) { return Math.max(0, Math.min(this.side - 1, Math.floor(share * this.side))); }

  /** Return the number of the nearest point within a radius that is wanted, -1 where there is none. */
  nearest(x, y, radius, wanted) {
    let [best, found] = [radius * radius, -1];
    for (let row = this.row(y - radius); row <= this.row(y + radius); row++) {
      for (let column = this.column(x - radius); column <= this.column(x + radius); column++) {
        const cell = row * this.side + column;
        for (let place = this.starts[cell]; place < this.starts[cell + 1]; place++) {
          const i = this.order[place];
          const distance = (this.points[2 * i] - x) ** 2 + (this.points[2 * i + 1] - y) ** 2;
          if (distance <= best && wanted(i)) [best, found] = [distance, i];
        }
      }
    }
    return found;
  }
}
