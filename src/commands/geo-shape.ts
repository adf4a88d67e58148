/** Circles and boxes on the map, and the cells of the grid that hold one, as Redis chooses them: that decides the order of replies. */

import {
  areaOf,
  type Cell,
  cellOf,
  degreesOf,
  distanceOf,
  latitudeDistanceOf,
  neighbour,
  type Place,
  radians,
  stepFor,
} from './geo-hash.ts';

/** Lengths in metres. */
export type Shape =
  | { readonly kind: 'circle'; readonly radius: number }
  | { readonly kind: 'box'; readonly width: number; readonly height: number };

/** Metres from `centre` to a place in the shape around it; undefined: it is outside. */
export function distanceWithin(shape: Shape, centre: Place, place: Place): number | undefined {
  if (shape.kind === 'circle') {
    const distance = distanceOf(centre, place);
    return distance > shape.radius ? undefined : distance;
  }
  if (latitudeDistanceOf(place.latitude, centre.latitude) > shape.height / 2) return undefined;
  const across = distanceOf(place, { longitude: centre.longitude, latitude: place.latitude });
  return across > shape.width / 2 ? undefined : distanceOf(centre, place);
}

interface Bounds {
  readonly west: number;
  readonly east: number;
  readonly south: number;
  readonly north: number;
}

function boundsOf(shape: Shape, { longitude, latitude }: Place): Bounds {
  const [width, height] = shape.kind === 'circle' ? [shape.radius, shape.radius] : [shape.width / 2, shape.height / 2];
  const up = degreesOf(height);
  // A degree of longitude is shortest on the side towards the pole.
  const edge = latitude < 0 ? latitude - up : latitude + up;
  const across = degreesOf(width) / Math.cos(radians(edge));
  return { west: longitude - across, east: longitude + across, south: latitude - up, north: latitude + up };
}

/** East and north of the nine cells, in the order in which they are searched. */
const AROUND: readonly (readonly [east: number, north: number])[] = [
  [0, 0],
  [0, 1],
  [0, -1],
  [1, 0],
  [-1, 0],
  [1, 1],
  [-1, 1],
  [1, -1],
  [-1, -1],
];

/** The cells to be searched for places in a shape around `centre`, in order; they do not overlap. */
export function cellsAround(shape: Shape, centre: Place): Cell[] {
  const bounds = boundsOf(shape, centre);
  const radius = shape.kind === 'circle' ? shape.radius : Math.hypot(shape.width / 2, shape.height / 2);
  let step = stepFor(radius, centre.latitude);
  let middle = cellOf(centre, step);
  if (step > 1 && !reaches(middle, bounds)) {
    step--;
    middle = cellOf(centre, step);
  }
  const area = areaOf(middle);
  const cells: Cell[] = [];
  for (const [east, north] of AROUND) {
    if (step >= 2) {
      if (north < 0 && area.south < bounds.south) continue;
      if (north > 0 && area.north > bounds.north) continue;
      if (east < 0 && area.west < bounds.west) continue;
      if (east > 0 && area.east > bounds.east) continue;
    }
    const cell = neighbour(middle, east, north);
    // Where the world has few cells, neighbours are the same ones.
    if (!cells.some((each) => each.column === cell.column && each.row === cell.row)) cells.push(cell);
  }
  return cells;
}

/** Whether the cells next to the middle one end beyond the bounds. */
function reaches(middle: Cell, bounds: Bounds): boolean {
  return (
    areaOf(neighbour(middle, 0, 1)).north >= bounds.north &&
    areaOf(neighbour(middle, 0, -1)).south <= bounds.south &&
    areaOf(neighbour(middle, 1, 0)).east >= bounds.east &&
    areaOf(neighbour(middle, -1, 0)).west <= bounds.west
  );
}
