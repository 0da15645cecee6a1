// Builds the index that finds the point under the pointer, beside the page so that the map keeps moving.
import KDBush from "/static/vendor/kdbush.js";

onmessage = ({ data: { x, y, round } }) => {
  const index = new KDBush(x.length, 64, Float32Array);
  for (let k = 0; k < x.length; k++) index.add(x[k], y[k]);
  index.finish();
  postMessage({ data: index.data, round }, [index.data]);
};
