// The rate at which a recording was made, from its first bytes, so that the browser decodes it without resampling.

const OPUS_RATE = 48000;
const MPEG_RATES = [44100, 48000, 32000];
const FALLBACK = 48000;

/** Samples per second of a FLAC, Ogg, MP3, AAC or MP4 recording; 48000 where its bytes do not say. */
export function rateOf(bytes) {
  return flac(bytes) ?? ogg(bytes) ?? mp4(bytes) ?? mpeg(bytes) ?? FALLBACK;
}

function flac(bytes) {
  if (!starts(bytes, 0, "fLaC") || bytes.length < 21) return null;
  return (bytes[18] << 12) | (bytes[19] << 4) | (bytes[20] >> 4) || null;
}

function ogg(bytes) {
  if (!starts(bytes, 0, "OggS")) return null;
  const packet = 27 + bytes[26];
  if (starts(bytes, packet, "OpusHead")) return OPUS_RATE;
  if (starts(bytes, packet, "\x01vorbis")) return number(bytes, packet + 12, 4, true) || null;
  return starts(bytes, packet, "\x7fFLAC") ? flac(bytes.subarray(packet + 9)) : null;
}

/** Of an MP4: the time scale of its first track of sound, `mdhd`, which is the rate. */
function mp4(bytes) {
  if (!starts(bytes, 4, "ftyp")) return null;
  for (let at = bytes.length - 24; at > 0; at -= 1) { // the description may lie at the end
    if (bytes[at] === 0x6d && starts(bytes, at, "mp4a") && at + 28 <= bytes.length) return number(bytes, at + 28, 2) || null;
  }
  return null;
}

function mpeg(bytes) {
  let at = starts(bytes, 0, "ID3") ? 10 + bytes.subarray(6, 10).reduce((sum, each) => sum * 128 + (each & 127), 0) : 0;
  for (const end = Math.min(bytes.length - 4, at + 65536); at < end; at += 1) {
    if (bytes[at] !== 0xff || (bytes[at + 1] & 0xe0) !== 0xe0) continue;
    const [version, layer, index] = [(bytes[at + 1] >> 3) & 3, (bytes[at + 1] >> 1) & 3, (bytes[at + 2] >> 2) & 3];
    if (layer === 0) return aac((bytes[at + 2] >> 2) & 15);
    if (version !== 1 && index !== 3) return MPEG_RATES[index] >> { 3: 0, 2: 1, 0: 2 }[version];
  }
  return null;
}

const aac = (index) => [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350][index] ?? null;

const starts = (bytes, at, text) => [...text].every((each, place) => bytes[at + place] === each.charCodeAt(0));

function number(bytes, at, size, little = false) {
  const part = [...bytes.subarray(at, at + size)];
  return (little ? part.reverse() : part).reduce((sum, each) => sum * 256 + each, 0);
}
