// Files and folders that were dropped, with their paths inside what was dropped.

const SUFFIXES = new Set(("wav wave bwf rf64 aif aiff aifc flac ogg oga opus spx mp3 mp2 mp1 mpga au snd caf w64 sph nist voc 8svx " +
  "m4a mp4 m4b m4v mov 3gp 3g2 webm mkv mka wma asf wmv aac adts ac3 eac3 ec3 dts thd mlp ape wv mpc tta tak amr dsf dff").split(" "));

/** Tell whether a file may hold sound, by its type or the ending of its name. */
export function isSound(file) {
  return /^(audio|video)\//.test(file.type) || SUFFIXES.has(file.name.split(".").pop().toLowerCase());
}

/** Return the files of a drop, those in folders too, in the order of their names. */
export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  return (await Promise.all(entries.map((entry) => walk(entry, "")))).flat();
}

async function walk(entry, before) {
  const name = before + entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null);
    return file ? [{ file, name }] : [];
  }
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (!part.length) break; // a browser gives a hundred at a time
    inside.push(...part);
  }
  inside.sort((first, second) => first.name.localeCompare(second.name, undefined, { numeric: true }));
  return (await Promise.all(inside.map((one) => walk(one, `${name}/`)))).flat();
}
