/** What the server's metrics are at one moment, and what happened between two. */

export class Samples {
  #byName = new Map();

  constructor(samples, at) {
    this.at = at;
    for (const { name, labels, value } of samples) {
      if (!this.#byName.has(name)) this.#byName.set(name, []);
      this.#byName.get(name).push({ labels, value });
    }
  }

  /** The sum of a metric for each value of a label; without a label, under `as`. */
  sums(name, label, as = name) {
    const sums = new Map();
    for (const { labels, value } of this.#byName.get(name) ?? []) {
      const key = label ? labels[label] : as;
      sums.set(key, (sums.get(key) ?? 0) + value);
    }
    return sums;
  }

  /** How fast a counter has grown since `before`, a second. */
  rates(before, name, label, as) {
    const then = before.sums(name, label, as);
    const seconds = (this.at - before.at) / 1000 || 1;
    const grown = ([key, value]) => [key, Math.max(0, value - (then.get(key) ?? 0)) / seconds];
    return new Map([...this.sums(name, label, as)].map(grown));
  }

  /** The mean of a histogram since `before`, for each value of a label. */
  means(before, name, label) {
    const counts = this.rates(before, `${name}_count`, label);
    const sums = [...this.rates(before, `${name}_sum`, label)];
    return new Map(sums.map(([key, sum]) => [key, counts.get(key) ? sum / counts.get(key) : 0]));
  }

  /** What that share of a histogram's observations since `before` stayed below: the upper end of its bucket. */
  quantile(before, name, share) {
    const buckets = [...this.rates(before, `${name}_bucket`, "le")]
      .map(([end, count]) => [end === "+Inf" ? Infinity : Number(end), count])
      .sort(([one], [other]) => one - other);
    const all = buckets.at(-1)?.[1] ?? 0;
    if (!all) return 0;
    const [end] = buckets.find(([, count]) => count >= share * all);
    return end === Infinity ? buckets.at(-2)[0] : end;
  }
}
