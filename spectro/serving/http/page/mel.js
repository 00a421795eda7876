// Slaney's mel scale, by which our spectrograms are drawn, and the colours of their grey levels.

const BREAK_HZ = 1000;
const BREAK_MEL = 15;
const STEP = Math.log(6.4) / 27;

export const toMel = (hz) => (hz < BREAK_HZ ? (hz * 3) / 200 : BREAK_MEL + Math.log(hz / BREAK_HZ) / STEP);

/** Return how far up a frequency is in a picture, 0 (lowest) to 1. */
export function height(hz, low, high) {
  return (toMel(hz) - toMel(low)) / (toMel(high) - toMel(low));
}

/** Return frequencies to mark on the axis, none too near to another or to an end. */
export function marks(low, high) {
  let last = 0;
  return [50, 100, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000].filter((hz) => {
    const place = height(hz, low, high);
    if (place < last + 0.085 || place > 0.97) return false;
    last = place;
    return true;
  });
}

export const hertz = (hz) => (hz < 1000 ? `${hz}\u202fHz` : `${hz / 1000}\u202fkHz`);

// Stops of magma (matplotlib, CC0), as the report uses it.
const STOPS = [
  [0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97], [254, 194, 135],
  [252, 253, 191],
];

/** 256 colours, three numbers each. */
export const MAGMA = Uint8ClampedArray.from({ length: 768 }, (_, index) => {
  const [level, channel] = [Math.floor(index / 3) / 255, index % 3];
  const place = level * (STOPS.length - 1);
  const first = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[first][channel] + (place - first) * (STOPS[first + 1][channel] - STOPS[first][channel]);
});
