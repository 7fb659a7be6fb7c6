/** The server's metrics at one moment, and their changes between two moments. */

export class Samples {
  #byName = new Map();

  /** `samples`: [{name, labels, value}]; `time`: when they were taken, in milliseconds. */
  constructor(samples, time) {
    this.time = time;
    for (const { name, labels, value } of samples) {
      if (!this.#byName.has(name)) this.#byName.set(name, []);
      this.#byName.get(name).push({ labels, value });
    }
  }

  /** Return the sum of a metric per value of `label`; without a label, one sum under `series`. */
  sums(name, label, series = name) {
    const sums = new Map();
    for (const { labels, value } of this.#byName.get(name) ?? []) {
      const key = label ? labels[label] : series;
      sums.set(key, (sums.get(key) ?? 0) + value);
    }
    return sums;
  }

  /** Return a counter's increase per second since `previous`. */
  rates(previous, name, label, series) {
    const before = previous.sums(name, label, series);
    const seconds = (this.time - previous.time) / 1000 || 1;
    const rate = ([key, value]) => [key, Math.max(0, value - (before.get(key) ?? 0)) / seconds];
    return new Map([...this.sums(name, label, series)].map(rate));
  }

  /** Return the mean of a histogram since `previous`, per value of `label`. */
  means(previous, name, label) {
    const counts = this.rates(previous, `${name}_count`, label);
    const sums = [...this.rates(previous, `${name}_sum`, label)];
    return new Map(sums.map(([key, sum]) => [key, counts.get(key) ? sum / counts.get(key) : 0]));
  }

  /** Return a quantile of a histogram's observations since `previous`: the upper bound of its bucket. */
  quantile(previous, name, quantile) {
    const buckets = [...this.rates(previous, `${name}_bucket`, "le")]
      .map(([bound, count]) => [bound === "+Inf" ? Infinity : Number(bound), count])
      .sort(([one], [other]) => one - other);
    const total = buckets.at(-1)?.[1] ?? 0;
    if (!total) return 0;
    const [bound] = buckets.find(([, count]) => count >= quantile * total);
    return bound === Infinity ? buckets.at(-2)[0] : bound;
  }
}
