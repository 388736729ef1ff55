// Whether what was seen is what was expected; the rules are in tests/scenarios/README.md.

const CONDITIONS = {
  at_least: (argument, actual) => typeof actual === 'number' && actual >= argument,
  at_most: (argument, actual) => typeof actual === 'number' && actual <= argument,
  contains: (argument, actual) => typeof actual === 'string' && actual.includes(argument),
  not: (argument, actual) => mismatch('', argument, actual) !== undefined,
  one_of: (argument, actual) => argument.some((option) => mismatch('', option, actual) === undefined),
};

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Why `actual` is not as expected; undefined where it is. `path` says which part of the result this is about. */
export function mismatch(path, expected, actual) {
  const differs = `${path}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
  if (isObject(expected)) {
    const words = Object.keys(expected);
    if (words.length > 0 && words.every((word) => Object.hasOwn(CONDITIONS, word))) {
      return words.every((word) => CONDITIONS[word](expected[word], actual)) ? undefined : differs;
    }
    if (!isObject(actual)) return differs;
    for (const name of words) {
      if (!Object.hasOwn(actual, name)) return `${path}: there is no field ${name} in ${JSON.stringify(actual)}`;
      const difference = mismatch(`${path}.${name}`, expected[name], actual[name]);
      if (difference) return difference;
    }
    return undefined;
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return differs;
    return expected.map((item, i) => mismatch(`${path}[${i}]`, item, actual[i])).find(Boolean);
  }
  return expected === actual ? undefined : differs;
}
