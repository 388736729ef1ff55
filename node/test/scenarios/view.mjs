// Results as the scenarios write them: the same names in every language, durations in seconds.

/** `localAddress` as the scenarios write it: `local_address`. */
export const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
/** And the other way round. */
export const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

const DURATIONS = ['lifetime', 'expiresIn', 'renewsIn', 'elapsed', 'roundTrip'];

/** Any result: each field by its name, each duration in seconds, each endpoint as text. */
export function view(result) {
  if (Array.isArray(result)) return result.map(view);
  if (typeof result !== 'object' || result === null) return result;
  if (typeof result.toJSON === 'function') return result.toJSON();
  if (result.kind === 'invalid') return errorView(result);
  const fields = Object.entries(result).map(([name, value]) => {
    return [snake(name), DURATIONS.includes(name) && value !== null ? value / 1000 : view(value)];
  });
  return Object.fromEntries(fields);
}

/** An error that a call raised. The argument that its message names is written as the scenarios do. */
export function errorView(error) {
  return { kind: error.kind, message: error.message.replace(/^[a-z]+[A-Za-z]*(?=: )/, snake) };
}

const TIMES = ['ttl', 'renewal_interval'];
const SETTINGS = [
  ...TIMES,
  'gateway',
  'local_address',
  'interface',
  'protocols',
  'failure_threshold',
  'retry',
  'description',
  'pcp_port',
  'ssdp_address',
];

/** The options of `Gateway.start` for a scenario's. */
export function gatewayOptions({ faults, ...settings }) {
  const named = (fields) => Object.fromEntries(Object.entries(fields).map(([name, value]) => [camel(name), value]));
  return { ...named(settings), ...(faults && { faults: named(faults) }) };
}

/** The options of `Mapper.start` for a scenario's settings. */
export function options(settings) {
  const found = {};
  for (const [name, value] of Object.entries(settings)) {
    if (!SETTINGS.includes(name)) throw new Error(`\`${name}\` is no setting`);
    if (TIMES.includes(name)) found[camel(name)] = value * 1000;
    else if (name === 'retry' && value !== 'never') found.retry = { min: value.min * 1000, max: value.max * 1000 };
    else found[camel(name)] = value;
  }
  return found;
}
