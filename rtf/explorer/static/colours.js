// Colours of classes, legible on light and dark grounds; a scale for numbers (viridis of matplotlib, CC0).
export const CLASSES = {
  "SN Ia": "#5b9bd5", "SN Ib": "#ef8a34", "SN Ic": "#b56cc4", "SN II": "#d94f4f", "SN IIP": "#f0938c",
  "SN IIn": "#b8860b", "SN IIb": "#8c9a3a", "Cataclysmic": "#e3b505", "AGN": "#2a9d8f", "TDE": "#e8318a",
  "Kilonova": "#7b2d8b", "Afterglow": "#44aa99", "SLSN": "#3f51d6", "FBOT": "#8b4513", "Flare": "#ff6f91",
  "SLSN-II": "#7f8cff", "SN Ibn": "#c96b1c", "SN Icn": "#93459f", "SN Ia-CSM": "#7fc1ff", "SN Iax": "#2f6db0",
  "Ca-rich": "#a5a552", "SN pec": "#8d8d8d", "LRN": "#cc3311", "ILRT": "#aa5533", "LBV": "#cc7755",
};
export const UNKNOWN = "#9aa0a6";
const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

export const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
export const classColour = (name) => CLASSES[name] ?? UNKNOWN;

// 256 colours; on a dark ground the scale begins lighter, on a light one it ends darker.
export function scale(dark) {
  const stops = (dark ? ["#5b3a8e", ...VIRIDIS.slice(2)] : [...VIRIDIS.slice(0, -1), "#d9b80f"]).map(rgb);
  return Array.from({ length: 256 }, (_, k) => {
    const at = (k / 255) * (stops.length - 1), low = Math.min(stops.length - 2, Math.floor(at));
    return stops[low].map((c, j) => Math.round(c + (stops[low + 1][j] - c) * (at - low)));
  });
}
